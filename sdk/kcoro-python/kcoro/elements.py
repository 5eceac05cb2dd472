# SPDX-License-Identifier: BSD-3-Clause
"""How elements become bytes: as they are, or by a format of the module `struct`."""

from __future__ import annotations

import struct
from typing import Any, Generic, TypeVar, Union

from kcoro._library import ffi

T = TypeVar("T")

Layout = Union[int, str]
"""The number of bytes of an element, or the format of a tuple: `"<iq"`. Without `<`, `>`, `=` or `!` a format is laid
out as the C compiler does, as long as it ends in padding to its alignment, by `0q` for instance."""


class Codec(Generic[T]):
    """The layout of a channel's elements."""

    def __init__(self, layout: Layout) -> None:
        self._format = None if isinstance(layout, int) else struct.Struct(layout)
        self.size = layout if isinstance(layout, int) else struct.calcsize(layout)
        if self.size <= 0:
            raise ValueError(f"an element has {self.size} bytes, at least 1 is needed")

    def pack(self, element: T) -> Any:
        """A place with the element, for C to read."""
        data: Any = element
        if self._format is not None:
            data = self._format.pack(*data)
        place = ffi.from_buffer(data)
        if len(place) != self.size:
            raise ValueError(f"an element has {self.size} bytes, got {len(place)}")
        return place

    def place(self) -> Any:
        """A place for an element, for C to write."""
        return ffi.new("char[]", self.size)

    def unpack(self, place: Any) -> T:
        data = bytes(ffi.buffer(place))
        element: Any = data if self._format is None else self._format.unpack(data)
        return element  # type: ignore[no-any-return]
