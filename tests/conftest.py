"""What holds for every test: how Hypothesis looks for examples."""

from hypothesis import HealthCheck, settings

# Before anything else loads py-evm, which would raise the recursion limit for good.
import zerostate.payment.devchain._evm  # noqa: F401  # for what its import does

# What is not named here is Hypothesis's own choice for where it runs: where the
# environment variable CI is set, the same examples each time (`derandomize`).
settings.register_profile(
    "zerostate",
    deadline=None,
    # The tests share the machine with worker and peer processes.
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("zerostate")
