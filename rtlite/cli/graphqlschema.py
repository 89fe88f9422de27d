"""``rtlite graphql-schema``: what can be asked at ``/graphql``, for code generators and for who wants to read it."""

from __future__ import annotations

import click

from rtlite.endpoints.graphqlschema import read_schema


@click.command()
def graphql_schema() -> None:
    """Print the GraphQL schema.

    It is that of every server of this version; no server need run.
    """
    click.echo(read_schema(), nl=False)
