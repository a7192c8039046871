"""Makes mutants of a module: its source with one small thing changed, which some test must notice.

Changed are comparisons, numbers, booleans, texts that are compared, `and`, `or`, `not`, `+`, `-`;
left out are conditions, arguments of `where` and `values`, and statements that only have effects.
"""

import ast
from collections.abc import Iterator
from typing import Any, NamedTuple

SWAPPED: dict[type[ast.AST], Any] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
LISTS_OF_CONDITIONS = {"where", "values"}
LOOKED_FOR = {"startswith", "endswith", "get", "pop", "partition", "rpartition", "split", "strip"}


class Mutant(NamedTuple):
    """`place` is the function, or the name at the module's level; there `old` became `new`."""

    place: str
    old: str
    new: str
    source: str


class Spot(NamedTuple):
    """Where a node stands in its parent."""

    parent: ast.AST
    field: str
    place: int | None  # in a list

    @property
    def called(self) -> str:
        """The method whose arguments these are."""
        function = self.parent.func if isinstance(self.parent, ast.Call) else None
        is_argument = self.field in ("args", "keywords")
        return function.attr if is_argument and isinstance(function, ast.Attribute) else ""


def mutants(source: str) -> Iterator[Mutant]:
    tree = ast.parse(source)
    for node, spot, place in _nodes(tree, ""):
        around = spot.parent if isinstance(node, ast.Constant) else None  # a number says nothing
        old, before = ast.unparse(around or node), getattr(spot.parent, spot.field)
        for changed in (*_other(node), *_other_here(node, spot)):
            after: Any = changed
            if spot.place is not None:
                others = (before[: spot.place], before[spot.place + 1 :])
                after = [*others[0], *([changed] if changed else []), *others[1]]
            setattr(spot.parent, spot.field, after)
            new = ast.unparse(around or changed) if changed else ""
            yield Mutant(place, old, new, ast.unparse(tree))
            setattr(spot.parent, spot.field, before)


def _nodes(parent: ast.AST, place: str) -> Iterator[tuple[ast.AST, Spot, str]]:
    for name, value in ast.iter_fields(parent):
        for index, node in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(node, ast.AST) and name not in ("decorator_list", "returns"):
                inside = _place(node, place)
                yield node, Spot(parent, name, index if isinstance(value, list) else None), inside
                yield from _nodes(node, inside)


def _place(node: ast.AST, place: str) -> str:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return f"{place}.{node.name}".strip(".")
    return ast.unparse(node.targets[0]) if isinstance(node, ast.Assign) and not place else place


def _other(node: ast.AST) -> Iterator[ast.AST]:
    """The node with another operator, or with less."""
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in SWAPPED:
            yield ast.Compare(node.left, [SWAPPED[type(operator)]()], node.comparators)
        case ast.BoolOp():
            yield ast.BoolOp(SWAPPED[type(node.op)](), node.values)
            for left_out in node.values:
                rest = [value for value in node.values if value is not left_out]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
        case ast.BinOp() if type(node.op) in SWAPPED and not _is_type_or_text(node):
            yield ast.BinOp(node.left, SWAPPED[type(node.op)](), node.right)
            if isinstance(node.op, ast.BitAnd | ast.BitOr):
                yield from (node.left, node.right)
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.IfExp():
            yield ast.IfExp(node.test, node.orelse, node.body)
        case _:
            pass


def _other_here(node: ast.AST, spot: Spot) -> Iterator[ast.AST | None]:
    """What may stand at this spot instead; None: nothing."""
    if spot.called in LISTS_OF_CONDITIONS:
        yield None
    is_compared = isinstance(spot.parent, ast.Compare | ast.Set) or spot.called in LOOKED_FOR
    is_last = isinstance(spot.parent, ast.FunctionDef | ast.AsyncFunctionDef)
    match node:
        case ast.Name() | ast.Attribute() | ast.Call() if spot.field == "test":
            yield ast.UnaryOp(ast.Not(), node)
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int() | float() as number):
            yield ast.Constant(number + 1)
        case ast.Constant(value=str() | bytes() as text) if is_compared and text:
            yield ast.Constant(text[:-1])
        case ast.Expr(value=ast.Constant()):  # a docstring
            pass
        case ast.Expr() | ast.Raise() | ast.AugAssign():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()
        case ast.Return() if not is_last:
            yield ast.Pass()
        case _:
            pass


def _is_type_or_text(node: ast.BinOp) -> bool:
    """As `int | None`, while conditions call or compare something; or a text put together."""
    parts = list(ast.walk(node))
    if isinstance(node.op, ast.BitOr):
        return not any(isinstance(part, ast.Call | ast.Compare) for part in parts)
    return any(isinstance(part, ast.JoinedStr) for part in parts)
