"""May they, now, here, this? Cedar policies, default deny; an error while deciding is a denial."""

from sandbox.policy.decider import CedarPolicy
from sandbox.policy.load import load_policies, load_policies_about, unspoken_roles
from sandbox.policy.starter import STARTER_POLICY

__all__ = ["CedarPolicy", "load_policies", "load_policies_about", "unspoken_roles", "STARTER_POLICY"]
