"""The alignment as PyTorch custom operators, so that autograd, torch.compile and torch.export know it.

``lacbook::soft_smith_waterman`` computes the score and, in the same pass, its derivatives: the posterior
dV/dS and the expected gap openings and extensions, -dV/dgo and -dV/dge. Its backward pass for the score is
three multiplications with them, and since they are outputs too, differentiating it again asks for *their*
derivatives: Hessian-vector products, ``lacbook::alignment_tangent``. ``lacbook::soft_smith_waterman_table``
gives D, whose gradient is an operator of its own and differentiable in the same way. Third derivatives are
refused.

Every operator takes ``(similarity, gap_open, gap_extend, temperature, lengths, backend)``: similarity
[B, N, M] in float32 or float64; penalties in its dtype, [B, 1, 1] or both [B, N, M]; int64 lengths [B, 2].
Checks that read values live inside the operators, so that they also run under torch.compile.
"""

from typing import Any

import torch
from torch import Tensor

from lacbook.alignment.backends import run
from lacbook.alignment.checks import check_temperature


def _soft(
    similarity: Tensor,
    gap_open: Tensor,
    gap_extend: Tensor,
    temperature: float,
    lengths: Tensor,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Score [B], posterior [B, N, M], expected openings and extensions in the shape of the penalties."""
    check_temperature(temperature)
    score, posterior, openings, extensions = run(
        "soft", backend, similarity, gap_open, gap_extend, temperature, lengths
    )
    return score, posterior, openings, extensions


soft_smith_waterman_op = torch.library.custom_op("lacbook::soft_smith_waterman", mutates_args=())(_soft)


@soft_smith_waterman_op.register_fake
def _soft_fake(
    similarity: Tensor,
    gap_open: Tensor,
    gap_extend: Tensor,
    temperature: float,
    lengths: Tensor,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Shapes only, for the tracer."""
    cells = similarity.new_empty(similarity.shape)
    gaps = similarity.new_empty(gap_open.shape), similarity.new_empty(gap_extend.shape)
    return similarity.new_empty(similarity.shape[0]), cells, *gaps


def _soft_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    """Keep the derivatives, one number per cell and penalty, and the inputs for second derivatives."""
    similarity, gap_open, gap_extend, ctx.temperature, lengths, ctx.backend = inputs
    ctx.set_materialize_grads(False)  # most often, only the score has a gradient
    ctx.save_for_backward(similarity, gap_open, gap_extend, lengths, *output[1:])


def _soft_backward(ctx: Any, g_score: Tensor | None, *others: Tensor | None) -> tuple[Tensor | None, ...]:
    """Chain rule."""
    *problem, lengths, posterior, openings, extensions = ctx.saved_tensors
    grads: list[Tensor | None] = [None, None, None]
    if g_score is not None:
        g = g_score[:, None, None]
        terms = ((g, posterior), (-g, openings), (-g, extensions))
        asked = ctx.needs_input_grad[:3]
        grads = [by * of if ask else None for (by, of), ask in zip(terms, asked, strict=True)]
    if any(g is not None for g in others):
        *second, _ = alignment_tangent_op(
            *problem, ctx.temperature, lengths, ctx.backend, *_direction(others, problem), None
        )
        signed = second[0], -second[1], -second[2]
        grads = [new if old is None else old + new for old, new in zip(grads, signed, strict=True)]
    return *grads, None, None, None


def _direction(cotangents: tuple[Tensor | None, ...], problem: list[Tensor]) -> list[Tensor]:
    """Cotangents of (dS, -dgo, -dge) as a direction of (S, go, ge).

    The Hessian is symmetric, so its product with the cotangents of the gradient is their gradient.
    """
    vs, vo, ve = (torch.zeros_like(of) if c is None else c for c, of in zip(cotangents, problem, strict=True))
    return [vs, -vo, -ve]


soft_smith_waterman_op.register_autograd(_soft_backward, setup_context=_soft_setup)


class _Soft(torch.autograd.Function):
    """``lacbook::soft_smith_waterman`` without torch's dispatcher, which takes longer than a small pair."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:
        """As the operator."""
        output = _soft(*inputs)
        _soft_setup(ctx, inputs, output)
        return output

    backward = staticmethod(_soft_backward)


def soft_smith_waterman_fast(*inputs: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`soft_smith_waterman_op`, called the short way where nobody traces or watches."""
    plain = all(type(x) in (Tensor, torch.nn.Parameter) and not x.is_meta for x in inputs[:3])
    if torch.compiler.is_compiling() or not plain or torch._C._len_torch_dispatch_stack():
        return soft_smith_waterman_op(*inputs)
    score, posterior, openings, extensions = _Soft.apply(*inputs)
    return score, posterior, openings, extensions


@torch.library.custom_op("lacbook::soft_smith_waterman_table", mutates_args=())
def soft_smith_waterman_table_op(
    similarity: Tensor,
    gap_open: Tensor,
    gap_extend: Tensor,
    temperature: float,
    lengths: Tensor,
    backend: str,
) -> Tensor:
    """D of every pair, [B, N, M], -inf outside the lengths."""
    check_temperature(temperature)
    (table,) = run("table", backend, similarity, gap_open, gap_extend, temperature, lengths)
    return table


@soft_smith_waterman_table_op.register_fake
def _table_fake(
    similarity: Tensor,
    gap_open: Tensor,
    gap_extend: Tensor,
    temperature: float,
    lengths: Tensor,
    backend: str,
) -> Tensor:
    """Shape only, for the tracer."""
    return similarity.new_empty(similarity.shape)


def _table_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Keep the inputs; the gradient runs the recursion again."""
    similarity, gap_open, gap_extend, ctx.temperature, lengths, ctx.backend = inputs
    ctx.save_for_backward(similarity, gap_open, gap_extend, lengths)


def _table_backward(ctx: Any, seeds: Tensor) -> tuple[Tensor | None, ...]:
    """Chain rule."""
    *problem, lengths = ctx.saved_tensors
    matches, openings, extensions = table_gradient_op(*problem, ctx.temperature, lengths, ctx.backend, seeds)
    return matches, -openings, -extensions, None, None, None


soft_smith_waterman_table_op.register_autograd(_table_backward, setup_context=_table_setup)


@torch.library.custom_op("lacbook::soft_smith_waterman_table_gradient", mutates_args=())
def table_gradient_op(
    similarity: Tensor,
    gap_open: Tensor,
    gap_extend: Tensor,
    temperature: float,
    lengths: Tensor,
    backend: str,
    seeds: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Derivatives of the sum of seeds * D: dS, and -dgo and -dge in the shape of the penalties."""
    matches, openings, extensions = run(
        "table_gradient", backend, similarity, gap_open, gap_extend, temperature, lengths, seeds
    )
    return matches, openings, extensions


@table_gradient_op.register_fake
def _table_gradient_fake(
    similarity: Tensor,
    gap_open: Tensor,
    gap_extend: Tensor,
    temperature: float,
    lengths: Tensor,
    backend: str,
    seeds: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Shapes only, for the tracer."""
    gaps = similarity.new_empty(gap_open.shape), similarity.new_empty(gap_extend.shape)
    return similarity.new_empty(similarity.shape), *gaps


def _table_gradient_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    """Keep the inputs."""
    similarity, gap_open, gap_extend, ctx.temperature, lengths, ctx.backend, seeds = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(similarity, gap_open, gap_extend, lengths, seeds)


def _table_gradient_backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
    """Second derivatives, and D' as the derivative by the seeds."""
    *problem, lengths, seeds = ctx.saved_tensors
    matches, openings, extensions, moved = alignment_tangent_op(
        *problem, ctx.temperature, lengths, ctx.backend, *_direction(cotangents, problem), seeds
    )
    return matches, -openings, -extensions, None, None, None, moved


table_gradient_op.register_autograd(_table_gradient_backward, setup_context=_table_gradient_setup)


@torch.library.custom_op("lacbook::alignment_tangent", mutates_args=())
def alignment_tangent_op(
    similarity: Tensor,
    gap_open: Tensor,
    gap_extend: Tensor,
    temperature: float,
    lengths: Tensor,
    backend: str,
    similarity_direction: Tensor,
    open_direction: Tensor,
    extend_direction: Tensor,
    seeds: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """How posterior, openings and extensions (given seeds, the table's gradients) change, and D'.

    No derivative is registered: a backward pass that reaches it raises RuntimeError.
    """
    matches, openings, extensions, moved = run(
        "tangent",
        backend,
        similarity,
        gap_open,
        gap_extend,
        temperature,
        lengths,
        similarity_direction,
        open_direction,
        extend_direction,
        seeds,
    )
    return matches, openings, extensions, moved


@alignment_tangent_op.register_fake
def _tangent_fake(
    similarity: Tensor,
    gap_open: Tensor,
    gap_extend: Tensor,
    temperature: float,
    lengths: Tensor,
    backend: str,
    similarity_direction: Tensor,
    open_direction: Tensor,
    extend_direction: Tensor,
    seeds: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Shapes only, for the tracer."""
    gaps = similarity.new_empty(gap_open.shape), similarity.new_empty(gap_extend.shape)
    return similarity.new_empty(similarity.shape), *gaps, similarity.new_empty(similarity.shape)
