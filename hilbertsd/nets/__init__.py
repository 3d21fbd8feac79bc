"""Neural networks: their tangent kernels, the bridge to the theory, training, and chains."""

from typing import TYPE_CHECKING

from hilbertsd import lazy
from hilbertsd.nets.bridge import Bridge, Distances, bridge, log_slope
from hilbertsd.nets.finite_width import finite_width
from hilbertsd.nets.functional import as_function
from hilbertsd.nets.operator import TangentOperator, tangent_operator
from hilbertsd.nets.plan import Plan
from hilbertsd.nets.tangent import empirical_ntk, tangent_plan

if TYPE_CHECKING:
    from hilbertsd.nets.blocks import Activations, Network
    from hilbertsd.nets.chain import (
        ChainSettings,
        NetworkChain,
        early_stopping_controls,
        load_network,
        train_chain,
    )
    from hilbertsd.nets.features import network_features
    from hilbertsd.nets.losses import fitting_loss
    from hilbertsd.nets.models import convnet, mlp, resnet, vgg
    from hilbertsd.nets.multi_view import (
        PatchNetwork,
        feature_scores,
        patch_network,
        smoothed_relu,
    )
    from hilbertsd.nets.supervised import Curves, Training, fit, measure, network_outputs
    from hilbertsd.nets.training import Trained, initialise, keys, member, train

__all__ = [
    "Activations",
    "Bridge",
    "ChainSettings",
    "Curves",
    "Distances",
    "Network",
    "NetworkChain",
    "PatchNetwork",
    "Plan",
    "TangentOperator",
    "Trained",
    "Training",
    "as_function",
    "bridge",
    "convnet",
    "early_stopping_controls",
    "empirical_ntk",
    "feature_scores",
    "finite_width",
    "fit",
    "fitting_loss",
    "initialise",
    "keys",
    "load_network",
    "log_slope",
    "measure",
    "member",
    "mlp",
    "network_features",
    "network_outputs",
    "patch_network",
    "resnet",
    "smoothed_relu",
    "tangent_operator",
    "tangent_plan",
    "train",
    "train_chain",
    "vgg",
]

# Loaded when first used: these need Equinox and Optax, tangent kernels do not.
__getattr__, __dir__ = lazy.attach(
    __name__,
    {
        "blocks": ("Activations", "Network"),
        "chain": (
            "ChainSettings",
            "NetworkChain",
            "early_stopping_controls",
            "load_network",
            "train_chain",
        ),
        "features": ("network_features",),
        "losses": ("fitting_loss",),
        "models": ("convnet", "mlp", "resnet", "vgg"),
        "multi_view": ("PatchNetwork", "feature_scores", "patch_network", "smoothed_relu"),
        "supervised": ("Curves", "Training", "fit", "measure", "network_outputs"),
        "training": ("Trained", "initialise", "keys", "member", "train"),
    },
)
