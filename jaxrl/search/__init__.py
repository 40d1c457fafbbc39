"""Tree search in a model: policies that improve on those of a network.

trees    PUCT and Gumbel search in any model of discrete actions
chance   the search of Stochastic MuZero, with nodes of chance between those of decision
backups  exact backups of return distributions in the tree: for means, and for risk
sampled  search among actions that are drawn at every node: continuous actions
"""

from jaxrl.search.backups import Backups, backup_search
from jaxrl.search.chance import ChanceSearch, chance_search
from jaxrl.search.sampled import Candidates, SampledOutput, sampled_model, sampled_search
from jaxrl.search.trees import (
    SEARCHES,
    Evaluator,
    Search,
    SearchOutput,
    gumbel_search,
    predictor_tree_search,
    search_with,
)

__all__ = [
    "SEARCHES",
    "Backups",
    "Candidates",
    "ChanceSearch",
    "Evaluator",
    "SampledOutput",
    "Search",
    "SearchOutput",
    "backup_search",
    "chance_search",
    "gumbel_search",
    "predictor_tree_search",
    "sampled_model",
    "sampled_search",
    "search_with",
]
