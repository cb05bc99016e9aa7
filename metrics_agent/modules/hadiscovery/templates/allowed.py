"""Which templates the second tier runs: the nodes, and what they are replaced by.

A name that Home Assistant does not know either is undefined, there as here. One that it knows and
we do not makes a fault: the value would be another one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from jinja2 import nodes
from jinja2.filters import FILTERS
from jinja2.tests import TESTS

from metrics_agent.modules.hadiscovery.templates.faults import TemplateFault

__all__ = ["Allowed", "internal"]

MAX_DEPTH: Final = 40
MAX_NODES: Final = 1000

_VARIABLES: Final = frozenset({"value", "value_json"})

_STATEMENTS: Final[Mapping[type[nodes.Node], str]] = {
    nodes.For: "a loop",
    nodes.Macro: "a macro",
    nodes.CallBlock: "a macro",
    nodes.Import: "an import",
    nodes.FromImport: "an import",
    nodes.Include: "an include",
    nodes.Extends: "an extends",
    nodes.Block: "a block",
}

_HOME_ASSISTANT: Final = frozenset(
    """
    apply area_devices area_entities area_id area_name areas as_function as_timedelta atan2
    base64_decode base64_encode caller closest combine config_entry_attr config_entry_id
    context cycler device_attr device_entities device_id device_name dict difference
    distance entity_id entity_name expand flatten floor_areas floor_entities floor_id
    floor_name floors has_value hass integration_entities intersect is_device_attr
    is_hidden_entity is_state is_state_attr issue issues joiner kwargs label_areas
    label_description label_devices label_entities label_id label_name labels lipsum loop
    md5 merge_response name namespace natural_sort now ordinal random range relative_time
    remap self set sha1 sha256 sha512 shuffle slugify state_attr state_attr_translated
    state_translated states statistical_mode strptime super symmetric_difference this
    time_since time_until timedelta timedelta_string today_at trigger tuple union urlencode
    utcnow varargs version wrap zip
    """.split()  # noqa: SIM905 - a table of names
)
"""Variables, functions and filters that Home Assistant has and templates of devices may not use."""


def internal(name: str) -> str:
    """Return the name of a filter that no template can name."""
    return f".{name}"


class Allowed:
    """Checks templates and rewrites them.

    Args:
        filters: names of the filters.
        tests: of the tests.
        functions: of the functions.
        constants: of the variables beside those of the payload.
        methods: of the methods; each is also an `internal` filter.
    """

    def __init__(
        self,
        *,
        filters: Collection[str],
        tests: Collection[str],
        functions: Collection[str],
        constants: Collection[str],
        methods: Collection[str],
    ) -> None:
        self._filters = frozenset(filters)
        self._tests = frozenset(tests)
        self._functions = frozenset(functions)
        self._constants = frozenset(constants)
        self._methods = frozenset(methods)

    def rewrite(self, template: nodes.Template) -> set[str]:
        """Check a template and replace what asks first.

        Returns:
            The names of functions and constants in it.

        Raises:
            TemplateFault: it has something that is not allowed.
        """
        return _Rewriting(self, template).used

    def check_filter(self, name: str) -> None:
        """Refuse a filter that is not listed."""
        if name not in self._filters:
            raise _refusal("filter", name, name in FILTERS or name in _HOME_ASSISTANT)

    def check_test(self, name: str) -> None:
        """Refuse a test that is not listed."""
        if name not in self._tests:
            raise _refusal("test", name, name in TESTS or name in _HOME_ASSISTANT)

    def check_method(self, name: str) -> None:
        """Refuse a method that is not listed."""
        if name not in self._methods:
            raise TemplateFault("not_allowed", f"it calls the method {name[:40]}")

    def check_name(self, name: str, *, called: bool) -> bool:
        """Refuse a variable or function that only Home Assistant has.

        Returns:
            Whether it is one of ours.
        """
        if name in _VARIABLES:
            return False
        if name in self._functions and not called:
            raise TemplateFault("not_allowed", f"it uses the function {name} as a value")
        if name in _HOME_ASSISTANT:
            raise TemplateFault("not_allowed", f"it uses {name}")
        return name in self._functions or name in self._constants


def _refusal(kind: str, name: str, is_known: bool) -> TemplateFault:
    if is_known:
        return TemplateFault("not_allowed", f"it uses the {kind} {name}")
    return TemplateFault("invalid", f"there is no {kind} {name[:40]}")


class _Rewriting:
    """The check of one template.

    Args:
        allowed: what may be in it.
        template: the template, changed in place.
    """

    def __init__(self, allowed: Allowed, template: nodes.Template) -> None:
        self.used: set[str] = set()
        self._allowed = allowed
        self._count = 0
        self._depth = 0
        self._set: set[str] = {
            each.name for each in template.find_all(nodes.Name) if each.ctx != "load"
        }
        self._expressions: dict[type[nodes.Node], Callable[..., nodes.Expr]] = {
            nodes.Call: self._call,
            nodes.Compare: self._compare,
            nodes.Concat: self._concat,
            nodes.Dict: self._container,
            nodes.Filter: self._filter,
            nodes.Getitem: self._getitem,
            nodes.Getattr: self._parts,
            nodes.List: self._container,
            nodes.Name: self._name,
            nodes.Test: self._test,
            nodes.Tuple: self._container,
            **dict.fromkeys(_PLAIN, self._parts),
        }
        self._block(template.body)

    def _block(self, statements: list[nodes.Node]) -> None:
        for each in statements:
            self._enter()
            self._statement(each)
            self._depth -= 1

    def _statement(self, node: nodes.Node) -> None:
        if isinstance(node, nodes.Output):
            node.nodes = [self._expression(each) for each in node.nodes]
        elif isinstance(node, nodes.If):
            node.test = self._expression(node.test)
            self._block(node.body)
            self._block(node.elif_)  # type: ignore[arg-type]  # a list of If
            self._block(node.else_)
        elif isinstance(node, nodes.Assign) and isinstance(node.target, nodes.Name):
            node.node = self._expression(node.node)
        else:
            what = _STATEMENTS.get(type(node), f"the statement {type(node).__name__}")
            raise TemplateFault("not_allowed", f"it has {what}")

    def _enter(self) -> None:
        self._depth += 1
        self._count += 1
        if self._depth > MAX_DEPTH:
            raise TemplateFault("too_deep", f"it is nested more than {MAX_DEPTH} deep")
        if self._count > MAX_NODES:
            raise TemplateFault("too_long", f"it has more than {MAX_NODES:,} parts")

    def _expression(self, node: nodes.Node) -> nodes.Expr:
        rewrite = self._expressions.get(type(node))
        if rewrite is None:
            raise TemplateFault("not_allowed", f"it has the expression {type(node).__name__}")
        self._enter()
        result = rewrite(node)
        self._depth -= 1
        return result

    def _parts(self, node: nodes.Expr) -> nodes.Expr:
        """Rewrite the expressions of which one consists."""
        for name, part in node.iter_fields():
            if isinstance(part, nodes.Expr):
                setattr(node, name, self._expression(part))
        return node

    def _name(self, node: nodes.Name) -> nodes.Expr:
        if node.name not in self._set and self._allowed.check_name(node.name, called=False):
            self.used.add(node.name)
        return node

    def _container(self, node: nodes.List | nodes.Tuple | nodes.Dict) -> nodes.Expr:
        if isinstance(node, nodes.Dict):
            for pair in node.items:
                pair.key = self._expression(pair.key)
                pair.value = self._expression(pair.value)
            is_fixed = all(_is_fixed(each.key) and _is_fixed(each.value) for each in node.items)
        else:
            node.items = [self._expression(each) for each in node.items]
            is_fixed = all(map(_is_fixed, node.items))
        # One that has the same list many times, within one that does the same, is written as text.
        return node if is_fixed else self._replaced("read", node)

    def _concat(self, node: nodes.Concat) -> nodes.Expr:
        parts = nodes.List([self._expression(each) for each in node.nodes], lineno=node.lineno)
        return self._replaced("concatenated", parts)

    def _compare(self, node: nodes.Compare) -> nodes.Expr:
        node.expr = self._expression(node.expr)
        left = node.expr
        for operand in node.ops:
            right = operand.expr = self._expression(operand.expr)
            if operand.op in {"in", "notin"} or not (_is_short(left) or _is_short(right)):
                operand.expr = right if _is_fixed(right) else self._replaced("read", right)
            left = right
        return node

    def _getitem(self, node: nodes.Getitem) -> nodes.Expr:
        if not isinstance(node.arg, nodes.Slice):
            return self._parts(node)
        # Jinja2 does not ask the environment for it.
        ends = [node.arg.start, node.arg.stop, node.arg.step]
        arguments = [nodes.Const(None) if each is None else self._expression(each) for each in ends]
        return self._replaced("sliced", self._expression(node.node), arguments)

    def _filter(self, node: nodes.Filter) -> nodes.Expr:
        self._allowed.check_filter(node.name)
        if node.node is None:
            raise TemplateFault("not_allowed", "it has a filter of a block")
        node.node = self._expression(node.node)
        self._arguments(node)
        return node

    def _test(self, node: nodes.Test) -> nodes.Expr:
        self._allowed.check_test(node.name)
        node.node = self._expression(node.node)
        self._arguments(node)
        return node

    def _call(self, node: nodes.Call) -> nodes.Expr:
        self._arguments(node)
        callee = node.node
        if isinstance(callee, nodes.Getattr):
            self._allowed.check_method(callee.attr)
            subject = self._expression(callee.node)
            return self._replaced(callee.attr, subject, node.args, node.kwargs)
        if not isinstance(callee, nodes.Name) or callee.name in self._set | _VARIABLES:
            raise TemplateFault("not_allowed", "it calls a value")
        if self._allowed.check_name(callee.name, called=True):
            self.used.add(callee.name)
        return node

    def _arguments(self, node: nodes.Call | nodes.Filter | nodes.Test) -> None:
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            raise TemplateFault("not_allowed", "it has arguments with * or **")
        node.args = [self._expression(each) for each in node.args]
        for keyword in node.kwargs:
            pair: nodes.Keyword = keyword  # type: ignore[assignment]  # the parser makes no Pair
            pair.value = self._expression(pair.value)

    @staticmethod
    def _replaced(
        name: str,
        subject: nodes.Expr,
        args: Sequence[nodes.Expr] = (),
        kwargs: Sequence[nodes.Keyword] = (),
    ) -> nodes.Expr:
        """Return the call of an internal filter."""
        return nodes.Filter(
            subject, internal(name), [*args], [*kwargs], None, None, lineno=subject.lineno
        )


_PLAIN: Final[tuple[type[nodes.Expr], ...]] = (
    nodes.Add,
    nodes.And,
    nodes.CondExpr,
    nodes.Const,
    nodes.Div,
    nodes.FloorDiv,
    nodes.Mod,
    nodes.Mul,
    nodes.Neg,
    nodes.Not,
    nodes.Or,
    nodes.Pos,
    nodes.Pow,
    nodes.Sub,
    nodes.TemplateData,
)
"""Expressions that are as they are; the environment intercepts the operators among them."""


def _is_short(node: nodes.Expr) -> bool:
    """Return whether a comparison with it ends at once, whatever the other side is."""
    return isinstance(node, nodes.Const)


def _is_fixed(node: nodes.Expr) -> bool:
    """Return whether all of it is in the template."""
    if isinstance(node, nodes.Dict):
        return all(_is_fixed(each.key) and _is_fixed(each.value) for each in node.items)
    if isinstance(node, nodes.List | nodes.Tuple):
        return all(map(_is_fixed, node.items))
    return isinstance(node, nodes.Const)
