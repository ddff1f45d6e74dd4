"""Makes what LLVM prints of a kernel a text that only the code decides."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Debugging information names variables, and numbers every line; no instruction depends on it.
ASM_DEBUG = re.compile(r"\s*\.(loc|cfi_\w+|file\s+\d+)\b")
ASM_SECTION = re.compile(r"\s*\.(text|data|bss|rodata|section)\b")
ASM_DEBUG_SECTION = re.compile(r"\s*\.section\s+\"?\.debug_")
ASM_MARK = re.compile(r"(\.Ltmp\d+):")
IR_DEBUG = re.compile(r"\s*#dbg_|!llvm\.dbg\.|!\d+ = (distinct )?!DI")
IR_DEBUG_USE = re.compile(r",? !dbg !\d+")
IR_ADDRESS = re.compile(r'(?<=!")0x[0-9a-f]+')
IR_METADATA = re.compile(r"(?<=!)\d+\b")


def tidy_assembly(text: str) -> str:
    """Return assembly without debugging information."""
    lines = [line for line in _outside_debug_sections(text) if not ASM_DEBUG.match(line)]
    used = set(re.findall(r"\.Ltmp\d+\b(?!:)", "\n".join(lines)))
    marks = (ASM_MARK.match(line) for line in lines)
    return "\n".join(line for line, mark in zip(lines, marks, strict=True) if mark is None or mark[1] in used)


def _outside_debug_sections(text: str) -> Iterator[str]:
    inside = False
    for line in text.splitlines():
        if ASM_SECTION.match(line):
            inside = bool(ASM_DEBUG_SECTION.match(line))
        if not inside:
            yield line


def tidy_ir(text: str) -> str:
    """Return LLVM IR without debugging information, its metadata numbered in the order of their use.

    TVM names the memory that accesses alias by the address of its own objects: they are numbered, too.
    """
    lines = (IR_DEBUG_USE.sub("", line) for line in text.splitlines() if not IR_DEBUG.match(line))
    return _numbered(IR_METADATA, _numbered(IR_ADDRESS, "\n".join(lines)))


def _numbered(pattern: re.Pattern[str], text: str) -> str:
    """Return the text with every distinct match replaced by its number."""
    numbers: dict[str, int] = {}
    return pattern.sub(lambda match: str(numbers.setdefault(match[0], len(numbers))), text)
