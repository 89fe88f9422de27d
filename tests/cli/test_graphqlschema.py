"""``rtlite graphql-schema``: what is printed is what a server executes."""

from __future__ import annotations

from graphql import build_client_schema, build_schema, get_introspection_query, lexicographic_sort_schema, print_schema

from tests.servers import running_server


def in_order(schema):
    return print_schema(lexicographic_sort_schema(schema))


async def test_the_schema_that_is_printed_is_the_one_that_a_server_tells(invoke):
    printed = invoke("graphql-schema").stdout
    assert printed.startswith('"""') and printed.endswith("}\n")
    async with running_server() as server:
        client = server.http(await server.key("project", "site"))
        answer = await client.post("/graphql", json={"query": get_introspection_query(schema_description=True)})
    told = build_client_schema(answer.json()["data"])
    assert in_order(told) == in_order(build_schema(printed))


async def test_every_root_field_of_the_schema_has_what_resolves_it_and_nothing_else_is_resolved(invoke):
    schema = build_schema(invoke("graphql-schema").stdout)
    asked = {*schema.query_type.fields, *schema.mutation_type.fields}
    async with running_server() as server:
        assert set(server.running.server.resolvers.fields) == asked


def test_fields_that_fail_leave_the_others_their_results(invoke):
    """In GraphQL, a field that may not be null takes the whole result with it when it fails."""
    schema = build_schema(invoke("graphql-schema").stdout)
    for type_ in (schema.query_type, schema.mutation_type):
        assert not [name for name, field in type_.fields.items() if str(field.type).endswith("!")]
