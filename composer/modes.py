"""Parts that do otherwise while they learn: dropout, batch normalisation, classes of one's own."""

from torch import nn

_OURS = ("torch.", "composer.")
_TORCHS = (
    nn.modules.dropout._DropoutNd,
    nn.modules.batchnorm._NormBase,
    nn.RNNBase,
    nn.MultiheadAttention,
    nn.TransformerEncoderLayer,
    nn.TransformerEncoder,
    nn.RReLU,
)


def learners(module: nn.Module) -> list[nn.Module]:
    """Those of a module that are in torch's train mode; running norms, which gather apart from
    learning, are none.
    """
    return [part for part in module.modules() if part.training and _may_differ(part)]


def _may_differ(part: nn.Module) -> bool:
    return isinstance(part, _TORCHS) or not type(part).__module__.startswith(_OURS)
