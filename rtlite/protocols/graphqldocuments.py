"""GraphQL documents: parsed, held to their limits, validated, and executed on values that are there.

graphql-core does it, without its async half, which is asyncio's. So the rule of the schema: root
fields are awaited, by whoever calls; below a root field all is data. :meth:`Documents.prepare`
says which root fields an operation wants, :meth:`Operation.answer` makes the result of
their values. Source: GraphQL specification (September 2025), sections 5 and 6.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import attrs
import orjson
from graphql import (
    GraphQLError,
    GraphQLIncludeDirective,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLSkipDirective,
    build_schema,
    execute_sync,
    get_argument_values,
    get_directive_values,
    get_variable_values,
    parse,
    specified_rules,
    validate,
)
from graphql.language import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    SelectionSetNode,
)
from graphql.validation import NoSchemaIntrospectionCustomRule

from rtlite.errors import Refused
from rtlite.protocols.graphqlcosts import check_document
from rtlite.protocols.graphqllimits import Limits, QueryRefused, check_text, too_costly
from rtlite.protocols.graphqlshares import share_of

_KEPT: Final = 100
_MAX_ERRORS: Final = 5
_WORD_WEIGHT: Final = 320  # bytes of what graphql-core makes of a word, with its place in the text
_VARIABLES_WEIGHT: Final = 8  # bytes of Python's objects for each of JSON
_ABOUT_THE_SCHEMA: Final = {"__schema", "__type"}
_SCHEMA_FIELDS: Final = 3_200
"""Most fields of a result about the schema, all of which has 2,900. They are counted as they come, 7 µs each."""
_LONG: Final = 1_000
"""More fields than these, at 2.5 µs each, are long to execute."""


@attrs.frozen
class Root:
    """A root field that is wanted: ``key`` is its name in the result, ``args`` fit the schema."""

    key: str
    field: str
    args: dict[str, Any]


@attrs.frozen(eq=False)
class Operation:
    """One operation of a document, with its variables.

    :ivar kind: ``query``, ``mutation`` or ``subscription``.
    :ivar variables: as they came, of those that it declares.
    :ivar cost: how many fields its result may have, but for those about the schema.
    :ivar weight: the bytes that it takes as long as it is kept, about.
    """

    kind: str
    name: str | None
    roots: tuple[Root, ...]
    text: str
    variables: dict[str, Any]
    document: DocumentNode = attrs.field(repr=False)
    introspects: bool = False
    cost: int = 0
    weight: int = 0
    schema: GraphQLSchema = attrs.field(repr=False, kw_only=True)

    @property
    def is_long(self) -> bool:
        """To execute it takes so long that a loop had better do something else meanwhile."""
        return self.introspects or self.cost > _LONG

    def answer(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The result, ready for JSON: ``data``, and ``errors`` if there are any. Any thread may ask.

        :param values: of the root fields, by key: data with the names of the schema's fields,
            or the exception that is the error there.
        :raises QueryRefused: it asks for very much of the schema.
        """
        budget = _Budget(_SCHEMA_FIELDS) if self.introspects else None
        try:
            result = execute_sync(
                self.schema,
                self.document,
                root_value=values,
                variable_values=self.variables,
                operation_name=self.name,
                middleware=[budget] if budget is not None else None,
            )
        except _Spent:
            raise too_costly(f"what is asked of the schema may have {_SCHEMA_FIELDS} fields at once") from None
        answer: dict[str, Any] = {"data": result.data}
        if result.errors:
            answer["errors"] = [_shown(error) for error in result.errors]
        return answer

    def share(self, limit: int) -> bytes:
        """What is the same for all operations whose results are: see :func:`share_of`, which raises what it says."""
        return share_of(self, limit)


class Documents:
    """What can be asked of one schema.

    :param schema: in GraphQL's language. :param introspection: whether the schema may be asked for.
    """

    def __init__(self, schema: str, limits: Limits, *, introspection: bool = True) -> None:
        self.schema = _build(schema)
        self._limits = limits
        self._introspection = introspection
        self._rules = [*specified_rules, *([] if introspection else [NoSchemaIntrospectionCustomRule])]
        self._kept: OrderedDict[str, tuple[DocumentNode, int]] = OrderedDict()

    def prepare(self, text: str, variables: Mapping[str, Any] | None = None, name: str | None = None) -> Operation:
        """The operation that is called ``name``, or the only one.

        :raises QueryRefused: the document is none, breaks a rule or a limit, or the variables do not fit.
        """
        document, weight = self._document(text)
        operation = _choose(document, name)
        declared = {item.variable.name.value for item in operation.variable_definitions or ()}
        given = {key: value for key, value in (variables or {}).items() if key in declared}
        weight += _VARIABLES_WEIGHT * _check_written(given)
        coerced = get_variable_values(
            self.schema, operation.variable_definitions or (), given, max_errors=_MAX_ERRORS, hide_suggestions=True
        )
        if isinstance(coerced, list):
            raise _refused("invalid_variables", coerced)
        roots, cost, count, introspects = [], 0, 0, False
        for field in _fields(document, operation.selection_set, coerced):
            count += field.name.value != "__typename"
            field_name = field.name.value
            introspects = introspects or field_name in _ABOUT_THE_SCHEMA
            definition = self._root_type(operation).fields.get(field_name)
            if definition is None:  # about the schema: graphql-core answers
                continue
            try:
                args = get_argument_values(definition, field, coerced)
            except GraphQLError as error:
                raise _refused("invalid_variables", [error]) from error
            cost += 1 + max(1, args.get("first") or 1) * _size(document, field.selection_set)
            roots.append(Root((field.alias or field.name).value, field_name, args))
        self._check_cost(count, cost)
        return Operation(
            operation.operation.value,
            operation.name.value if operation.name else None,
            tuple(roots),
            text,
            given,
            document,
            introspects,
            cost,
            weight,
            schema=self.schema,
        )

    def _document(self, text: str) -> tuple[DocumentNode, int]:
        """Parsed and validated, and the bytes that it takes, about; the latest are kept."""
        kept = self._kept.get(text)
        if kept is not None:
            self._kept.move_to_end(text)
            return kept
        weight = 2 * len(text) + _WORD_WEIGHT * check_text(text, self._limits)
        try:
            document = parse(text)
        except GraphQLError as error:
            raise _refused("syntax_error", [error]) from error
        check_document(document, self._limits)
        errors = validate(
            self.schema, document, self._rules, max_errors=_MAX_ERRORS, hide_suggestions=not self._introspection
        )
        if errors:
            raise _refused("invalid_query", errors)
        kept = self._kept[text] = document, weight
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return kept

    def _root_type(self, operation: OperationDefinitionNode) -> Any:
        return self.schema.get_root_type(operation.operation)

    def _check_cost(self, count: int, cost: int) -> None:
        if count > self._limits.roots:
            raise too_costly(f"an operation may have {self._limits.roots} root fields")
        if cost > self._limits.complexity:
            raise too_costly(f"the result may have {self._limits.complexity} fields, this one could have {cost}")


@lru_cache(maxsize=4)
def _build(text: str) -> GraphQLSchema:
    """The schema, with root fields that resolve to the values that are given. It takes 15 ms: servers share it."""
    schema = build_schema(text)
    for type_ in (schema.query_type, schema.mutation_type, schema.subscription_type):
        for field in type_.fields.values() if type_ is not None else ():
            field.resolve = _value_of
    return schema


def _check_written(variables: dict[str, Any]) -> int:
    """What is taken is written again, in JSON: so many bytes. (What stands in the document: see :func:`check_text`.)"""
    try:
        return len(orjson.dumps(variables))
    except TypeError as error:
        text = "a number or the nesting of a variable is out of range"
        raise QueryRefused(text, code="invalid_variables") from error


def _choose(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    operations = [item for item in document.definitions if isinstance(item, OperationDefinitionNode)]
    if name:
        operations = [item for item in operations if item.name is not None and item.name.value == name]
    if len(operations) != 1:
        missing = "the document has no such operation" if name else "operationName: the document has several operations"
        raise QueryRefused(missing if operations or name else "the document has no operation")
    return operations[0]


def _fragments(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    return {item.name.value: item for item in document.definitions if isinstance(item, FragmentDefinitionNode)}


def _fields(document: DocumentNode, selections: SelectionSetNode, variables: Any) -> Iterator[FieldNode]:
    """The root fields that are to be executed: the first of each key (section 6.3.2, CollectFields)."""
    fragments = _fragments(document)
    keys: set[str] = set()
    spread: set[str] = set()

    def collect(selections: SelectionSetNode) -> Iterator[FieldNode]:
        for item in selections.selections:
            if not _wanted(item, variables):
                continue
            if isinstance(item, FieldNode):
                key = (item.alias or item.name).value
                if key not in keys:
                    keys.add(key)
                    yield item
            elif isinstance(item, FragmentSpreadNode):
                if item.name.value not in spread:
                    spread.add(item.name.value)
                    yield from collect(fragments[item.name.value].selection_set)
            else:
                yield from collect(item.selection_set)  # type: ignore[attr-defined]

    return collect(selections)


def _wanted(node: Any, variables: Any) -> bool:
    skip = get_directive_values(GraphQLSkipDirective, node, variables)
    include = get_directive_values(GraphQLIncludeDirective, node, variables)
    return not (skip and skip["if"]) and not (include and not include["if"])


def _size(document: DocumentNode, selections: SelectionSetNode | None) -> int:
    """How many fields stand below a root field; those that are merged or left out count as well."""
    fragments = _fragments(document)

    def count(selections: SelectionSetNode | None) -> int:
        total = 0
        for item in selections.selections if selections is not None else ():
            if isinstance(item, FragmentSpreadNode):
                total += count(fragments[item.name.value].selection_set)
            else:
                total += isinstance(item, FieldNode) + count(item.selection_set)  # type: ignore[attr-defined]
        return total

    return count(selections)


def _value_of(values: Mapping[str, Any], info: GraphQLResolveInfo[Any], **args: Any) -> Any:
    """A root field's value, which is there by now."""
    value = values[str(info.path.key)]
    if isinstance(value, Exception):
        raise value
    return value


class _Spent(BaseException):
    """Not an error of one field, which graphql-core would note, and go on."""


class _Budget:
    def __init__(self, fields: int) -> None:
        self._left = fields

    def resolve(self, following: Any, root: Any, info: GraphQLResolveInfo[Any], **args: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise _Spent
        return following(root, info, **args)


def _refused(code: str, errors: list[GraphQLError]) -> QueryRefused:
    shown = [{**error.formatted, "extensions": {"code": code}} for error in errors]
    return QueryRefused(errors[0].message, code=code, errors=shown)


def _shown(error: GraphQLError) -> dict[str, Any]:
    """An error of a field: a refusal says why; of our own mistakes nothing is told."""
    cause = error.original_error
    formatted: dict[str, Any] = {**error.formatted}
    if isinstance(cause, Refused):
        formatted |= {"message": cause.detail, "extensions": {"code": cause.code}}
    elif cause is not None:
        formatted |= {"message": "the server made a mistake", "extensions": {"code": "internal_error"}}
    return formatted
