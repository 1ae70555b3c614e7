"""Parts that do otherwise while they learn: dropout, batch normalisation, classes of one's own."""

from torch import nn
from torch.nn.utils import parametrizations

_OURS = ("torch.", "composer.")
_TORCHS = (
    nn.modules.dropout._DropoutNd,
    nn.modules.batchnorm._NormBase,
    nn.RNNBase,
    nn.MultiheadAttention,
    nn.TransformerEncoderLayer,
    nn.TransformerEncoder,
    nn.RReLU,
    parametrizations._SpectralNorm,
)


def learners(module: nn.Module) -> list[nn.Module]:
    """The parts of a module that may do otherwise in torch's train mode; running norms, which
    gather apart from learning, are none.
    """
    return [part for part in module.modules() if _may_differ(part)]


def _may_differ(part: nn.Module) -> bool:
    is_known = type(part).__module__.startswith(_OURS) and not part._forward_pre_hooks
    return isinstance(part, _TORCHS) or not is_known
