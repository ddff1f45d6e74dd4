"""Which processors LLVM knows, and which instructions the one of this machine has."""

from __future__ import annotations

import functools
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mutatenn import InputError, ir, unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NATIVE = "native"
CPUINFO = Path("/proc/cpuinfo")
# Architectures go by more names than LLVM lists.
ALIASES = {"amd64": "x86_64", "arm64": "aarch64", "i486": "i386", "i586": "i386", "i686": "i386"}
VARIANTS = ("armv", "thumbv")
# Features whose instructions LLVM chooses by itself, as "LLVM's name=Linux's", or one name for both. Others
# (pku, mwaitx, shstk) are for operating systems; virtual machines lack them without harm.
X86 = """
sse sse2 sse3=pni ssse3 sse4.1=sse4_1 sse4.2=sse4_2 sse4a avx avx2 fma fma4 xop f16c bmi=bmi1 bmi2 tbm
lzcnt=abm popcnt movbe cx16 sahf=lahf_lm adx aes pclmul=pclmulqdq sha=sha_ni gfni vaes vpclmulqdq
avx512f avx512bw avx512cd avx512dq avx512vl avx512ifma avx512vbmi avx512bf16=avx512_bf16
avx512bitalg=avx512_bitalg avx512fp16=avx512_fp16 avx512vbmi2=avx512_vbmi2 avx512vnni=avx512_vnni
avx512vpopcntdq=avx512_vpopcntdq avx512vp2intersect=avx512_vp2intersect avxvnni=avx_vnni avxifma=avx_ifma
avxneconvert=avx_ne_convert avxvnniint8=avx_vnni_int8 avxvnniint16=avx_vnni_int16 amx-tile=amx_tile
amx-int8=amx_int8 amx-bf16=amx_bf16 amx-fp16=amx_fp16 movdiri movdir64b egpr=apx
"""
AARCH64 = """
fp-armv8=fp neon=asimd fullfp16=asimdhp fp16fml=asimdfhm dotprod=asimddp rdm=asimdrdm complxnum=fcma
jsconv=jscvt lse=atomics rcpc=lrcpc crc=crc32 aes sha2 sha3 sve sve2 bf16 i8mm
"""
FEATURES = {"x86_64": X86, "aarch64": AARCH64}
LEVELS = ("x86-64-v4", "x86-64-v3", "x86-64-v2", "x86-64")


@functools.cache
def make_target(mcpu: str, mattr: tuple[str, ...], mtriple: str) -> Any:
    """Return the LLVM target; raise InputError for a triple, processor or feature LLVM does not know."""
    config: dict[str, Any] = {"kind": "llvm"}
    if mtriple:
        _check_triple(mtriple)
        config["mtriple"] = mtriple
    if mcpu != NATIVE:
        _check("processor", mcpu, _processors(mtriple))
        config["mcpu"] = mcpu
    elif _native(mtriple):
        config["mcpu"] = ir.tvm.target.codegen.llvm_get_system_cpu()
        absent = [f"-{feature}" for feature in missing_features(ir.tvm.target.Target(config))]
        mattr = (*absent, *mattr)  # a virtual machine may hide what the real one has
    for feature in mattr:
        _check_feature(feature, config)
    return ir.tvm.target.Target({**config, "mattr": list(mattr)} if mattr else config)


def refuse_elsewhere(target: Any) -> None:
    """Raise InputError where this machine cannot execute a target's code."""
    mtriple, system = str(target.attrs.get("mtriple", "")), ir.tvm.target.codegen.llvm_get_system_triple()
    if not _native(mtriple):
        raise InputError(
            f"this machine ({system}) cannot execute code for {mtriple}; leave mtriple out, or run it there"
        )
    if absent := missing_features(target):
        raise InputError(
            f"this processor has no {', '.join(absent)}, which mcpu = {str(target.attrs['mcpu'])!r} or mattr "
            f"asks for; set mcpu to one that it runs: {', '.join(runnable())}"
        )


def missing_features(target: Any, flags: frozenset[str] | None = None) -> list[str]:
    """Return the features a target for this architecture uses and this machine's processor lacks.

    ``flags`` are the processor's as Linux calls them, by default read from it; empty ones tell nothing.
    """
    flags = host_flags() if flags is None else flags
    pairs = (entry.partition("=") for entry in FEATURES.get(_architecture(""), "").split())
    used = ir.tvm.target.codegen.llvm_get_cpu_features(target) if flags else ()
    return [name for name, _, flag in pairs if name in used and (flag or name) not in flags]


@functools.cache
def host_flags() -> frozenset[str]:
    """Return what the processor of this machine can, in Linux's words; empty where Linux does not tell."""
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return frozenset()
    flags = (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features")))
    return frozenset(next(flags, "").split())


def runnable() -> list[str]:
    """Return the values of ``mcpu`` to choose from here: this processor, and the levels that it runs."""
    known = [level for level in LEVELS if level in _processors("")]
    return [NATIVE, *(level for level in known if not missing_features(make_target(level, (), "")))]


def _native(mtriple: str) -> bool:
    """Tell whether a triple names this machine's architecture and system."""
    return not mtriple or (
        _architecture(mtriple) == _architecture("") and platform.system().lower() in mtriple.lower()
    )


def _architecture(mtriple: str) -> str:
    name = (mtriple or str(ir.tvm.target.codegen.llvm_get_system_triple())).partition("-")[0]
    return ALIASES.get(name, name)


def _check_triple(mtriple: str) -> None:
    codegen = ir.tvm.target.codegen
    name = mtriple.partition("-")[0]
    if not name.startswith(VARIANTS):
        _check(f"architecture in mtriple = {mtriple!r}:", name, [*codegen.llvm_get_targets(), *ALIASES])
    if not codegen.llvm_is_valid_cpu("generic", mtriple):  # with such a triple, TVM would crash
        raise InputError(f"LLVM makes no code for processors of mtriple = {mtriple!r}; choose another")


def _check_feature(feature: str, config: dict[str, Any]) -> None:
    sign, name = feature[:1], feature[1:]
    if sign not in ("+", "-"):
        raise InputError(f"mattr: {feature!r} neither adds nor removes a feature; write '+{feature}'")
    known = _features(config.get("mtriple", ""))
    probe = ir.tvm.target.Target({**config, "mattr": [f"+{name}"]})
    if name not in known and name not in ir.tvm.target.codegen.llvm_get_cpu_features(probe):
        raise InputError(unknown_name("feature", name, known))


def _check(kind: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise InputError(unknown_name(kind, name, known))


@functools.cache
def _processors(mtriple: str) -> Sequence[str]:
    return [str(each) for each in ir.tvm.target.codegen.llvm_get_cpu_archlist(_plain(mtriple))]


@functools.cache
def _features(mtriple: str) -> frozenset[str]:
    """Return the features that the processors of an architecture have between them."""
    features = ir.tvm.target.codegen.llvm_get_cpu_features
    return frozenset().union(*(features(_plain(mtriple, mcpu=each)) for each in _processors(mtriple)))


def _plain(mtriple: str, **config: str) -> Any:
    return ir.tvm.target.Target({"kind": "llvm", **({"mtriple": mtriple} if mtriple else {}), **config})
