"""From a loss of the core to a loss that a framework can build from its config.

A framework's :class:`Convention` is a mixin, written once, that says how the framework's words
become the core's and how it calls a loss. :func:`binder` makes a real class of a convention and a
loss: with its own signature and docstring, found by pickle under its module, refusing arguments
that it doesn't have.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, NoReturn, Protocol, TypeVar, cast

from metriseg import validation
from metriseg.composition import with_arguments
from metriseg.losses import SegmentationLoss

__all__ = ["Convention", "binder"]

L = TypeVar("L", bound=SegmentationLoss)


class Convention:
    """How one framework builds and calls a loss. Mixed in before the core's class.

    A subclass may override the class methods below, and ``forward``. It has no ``__init__``: the
    bound class's constructor translates its arguments, builds the core's loss and then calls
    :meth:`adopt`.
    """

    #: A paragraph that follows the core's docstring.
    note: ClassVar[str] = ""
    #: The framework's words -> what to say instead.
    foreign_words: ClassVar[Mapping[str, str]] = {}
    #: What is said behind the complaint about a word that a loss doesn't have.
    advice: ClassVar[str] = ""
    #: Words of the framework that change nothing at this value: whoever spells them out is heard.
    without_effect: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def constructor_parameters(
        cls, core: Mapping[str, inspect.Parameter]
    ) -> Mapping[str, inspect.Parameter]:
        """The constructor's parameters in the framework's words, from the core's."""
        return core

    @classmethod
    def translate(
        cls, arguments: dict[str, Any], core: Mapping[str, inspect.Parameter]
    ) -> dict[str, Any]:
        """The core's arguments, from all of the framework's (defaults filled in)."""
        return arguments

    @classmethod
    def fitting_hints(cls, words: Collection[str]) -> Mapping[str, str]:
        """Those of :attr:`foreign_words` that a loss of such words can be helped with."""
        return cls.foreign_words

    def adopt(self, arguments: Mapping[str, Any]) -> None:
        """Keep what only the framework knows of; called when the core's loss is built."""


def keyword(
    name: str, default: Any, annotation: Any = inspect.Parameter.empty
) -> inspect.Parameter:
    """A keyword-only parameter, for :meth:`Convention.constructor_parameters`."""
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


class Binder(Protocol):
    """Turns a core loss into the loss of a framework, by its own name or by the framework's."""

    def __call__(self, loss: type[L], name: str | None = None) -> type[L]: ...


def binder(convention: type[Convention], module: str) -> Binder:
    """A function that turns a core loss into the loss of a framework.

    Args:
        convention: the framework's mixin.
        module: the module in which the result will stand under the loss's name.
    """

    def bind(loss: type[L], name: str | None = None) -> type[L]:
        name = name or loss.__name__
        core = inspect.signature(loss).parameters
        signature = _signature(convention.constructor_parameters(core))

        def meant(kwargs: dict[str, Any]) -> dict[str, Any]:
            """The words that may have an effect."""
            idle = convention.without_effect
            return {
                word: value
                for word, value in kwargs.items()
                if word in signature.parameters or word not in idle or value is not idle[word]
            }

        def __new__(cls: type[L], *args: Any, **kwargs: Any) -> L:
            try:
                return cast(L, loss.__new__(cls, *args, **meant(kwargs)))
            except validation.UnknownArgumentError as error:
                if not convention.advice:
                    raise
                raise validation.UnknownArgumentError(f"{error}{convention.advice}") from None

        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            bound = _bound_arguments(name, signature, args, meant(kwargs))
            loss.__init__(self, **self.translate(dict(bound), core))
            self._given = bound
            self.adopt(bound)

        def arguments(self: Any) -> dict[str, Any]:
            return dict(self._given)

        namespace = {
            "__new__": __new__,
            "__init__": __init__,
            "__doc__": _docstring(loss, convention.note, signature.parameters),
            "__module__": module,
            "__qualname__": name,
            "__signature__": signature,
            "arguments": arguments,
            "synonyms": {
                word: hint
                for word, hint in {
                    **convention.fitting_hints(signature.parameters),
                    **loss.synonyms,
                }.items()
                if word not in signature.parameters
            },
        }
        bound: type[L] = types.new_class(
            name, (convention, loss), exec_body=lambda body: body.update(namespace)
        )
        return bound

    return bind


def refuse_missing(
    module: str, framework: str, unsupported: Mapping[str, str], name: str
) -> NoReturn:
    """What a manifest's ``__getattr__`` does: a loss that isn't offered is refused with the reason.

    Raises:
        NotImplementedError: for a name in ``unsupported`` (an AttributeError would lose the reason
            in a ``from … import``).
        AttributeError: for any other name.
    """
    if name in unsupported:
        raise NotImplementedError(f"{framework} can't use {name}: {unsupported[name]}")
    raise AttributeError(f"module {module!r} has no attribute {name!r}")


def _docstring(loss: type, note: str, words: Collection[str]) -> str:
    """The core's text and the framework's, without the examples: they call the core's class.

    Of the core's arguments those that are left, and that the framework doesn't describe anew.
    """
    text, _, _ = inspect.cleandoc(loss.__doc__ or "").partition(">>>")
    anew = {
        word
        for names in re.findall(r"^    (\w+(?:, \w+)*):", note, re.MULTILINE)
        for word in names.split(", ")
    }
    return f"{with_arguments(text, {*words} - anew).strip()}\n\n{note}".strip()


def _signature(parameters: Mapping[str, inspect.Parameter]) -> inspect.Signature:
    """Positional parameters first, whatever order a convention left them in."""
    return inspect.Signature(sorted(parameters.values(), key=lambda p: p.kind))


def _bound_arguments(
    name: str, signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise validation.UnknownArgumentError(f"{name}: {error}") from None
    bound.apply_defaults()
    return dict(bound.arguments)
