"""Claims on where rewards come from."""

from experiments.reproductions.claims.claim import Claim

CLAIMS: dict[str, Claim] = {
    "annotations": Claim(
        "Bonuses where an annotator sees a subgoal reached help a learner (after Pignatelli et al. "
        "2024).",
        "Partly",
        "In worlds with a key, a learner that looks five steps ahead comes 0.99 of the way to the "
        "best with a bonus for the key, and 0.72 [0.63, 0.82] without. If the annotator takes 1 % "
        "of the other transitions for the subgoal, it comes 0.56 [0.39, 0.73] with a bonus each "
        "time, and a learner that is optimal for what it is paid 0.25: they go back and forth. "
        "Paid once an episode, or as a potential, the bonus still helps at 5 % (0.88). Subgoals "
        "that are missed hardly matter (0.98 at 20 %).",
    ),
    "comparisons": Claim(
        "A reward that is fitted as if segments were preferred by their regret leads to better "
        "policies than one for sums of rewards (Knox et al. 2024), and policies can be learnt from "
        "the same comparisons without a reward (Hejna et al. 2024).",
        "Confirmed",
        "After 300 comparisons by regret the reward for regrets comes 0.95 [0.93, 0.97] of the way "
        "to the best, that for sums 0.66 [0.58, 0.74], CPL 0.81 [0.75, 0.86] and cloning of what "
        "is preferred 0.50 [0.48, 0.53]. The order is the same where partial returns are compared "
        "(0.81, 0.67, 0.81 and 0.47), so that regrets are the better assumption here even where "
        "they are wrong. CPL with a bias of 0.5 is better with 100 comparisons by regret (0.69 "
        "against 0.61, within the intervals) and not with 300. Learners of rewards know the "
        "dynamics, CPL does not; all have the same steps and step size.",
    ),
    "constraints": Claim(
        "Agents that learn the prices of costs keep limits which a fixed price does not keep, "
        "or keeps at the expense of reward (Ray et al. 2019).",
        "Partly",
        "Beside the linear programme of random processes, PPO with a learnt price exceeds its "
        "limit by -0.02 [-0.07, 0.03] of the range between the least cost and that of the best "
        "policy without a limit, at most 0.07 in one process, and earns 0.77 [0.70, 0.83] of "
        "what the best policy within the limit earns beyond the one of least cost. SAC exceeds "
        "it by -0.01 [-0.03, 0.00], at most 0.01, and earns 0.81 [0.78, 0.84]. Of two fixed "
        "prices, the one that keeps limits in other processes stays 0.46 and 0.45 below them "
        "and earns 0.13 and 0.14; without a price the excess is 0.34 and 0.42. So limits are "
        "kept, but the optimum within them is not reached in 30,000 steps.",
    ),
    "contexts": Claim(
        "Acting under the context of what is preferred beats offline learning from rewards, true "
        "ones included (Kang et al. 2023).",
        "Partly",
        "Where the preferred corner is one to which a quarter of the data goes, OPPO comes 0.77 "
        "[0.72, 0.81] of the way from the data's return to the best, IQL 0.64 [0.59, 0.69] with a "
        "reward that is fitted to the same 300 comparisons and 0.82 [0.80, 0.83] with the true "
        "one, and cloning -0.05 [-0.09, -0.02]. Where the preferred place lies between two "
        "corners, these are 0.58 [0.53, 0.61], 0.61 [0.56, 0.65], 0.85 [0.83, 0.86] and 0.00 "
        "[-0.06, 0.05]. All learn from the same data, with as many steps and networks of the same "
        "size.",
    ),
    "goal-embeddings": Claim(
        "Rewards from how similar what is seen is to a goal, in an embedding, are better if "
        "they are projected in part on the way from a baseline to the goal, and the better the "
        "embedding (Rocamonde et al. 2024).",
        "Partly",
        "Policies for the plain cosine come 0.92, 0.84, 0.64 and 0.41 of the way to the best as "
        "the noise of random embeddings of 16 numbers grows from 0.25 to 2. The largest gain of "
        "a projection is 0.04 [0.02, 0.07] with the least noise (strength 0.9) and 0.04 [0.01, "
        "0.07] with the next (0.5); beyond, no gain differs from 0, though the rank correlation "
        "with progress grows everywhere, from 0.39 to 0.51 with the most noise. There are no "
        "images and no words here.",
    ),
    "hacking": Claim(
        "A chi-square penalty of occupancies mitigates the hacking of a proxy better than one of "
        "actions (Laidlaw et al. 2025).",
        "Confirmed",
        "At the best of nine prices for each, the gold reward of a step rises by 0.151 [0.132, "
        "0.167] with the chi-square divergence of occupancies, by 0.142 [0.129, 0.154] with its "
        "root, by 0.102 [0.096, 0.107] with their KL divergence and by 0.072 [0.068, 0.076] with "
        "that of actions. Nearly without a penalty the proxy rises by 1.4, and the gold reward "
        "falls by 1.1. Gradients are exact.",
    ),
    "heuristics": Claim(
        "Weights of auxiliary rewards that are learnt by implicit gradients are robust to rewards "
        "that mislead, where sums fail and potentials impair (Gupta et al. 2023).",
        "Partly",
        "The primary reward alone leads to 0.81 [0.80, 0.82] of the best return, and weighed twice "
        "to 0.87 [0.86, 0.88], because it then outweighs the penalty of parameters. Adding a cost "
        "of the distance to the goal leads to 0.89 [0.89, 0.90], and adding pay for nearness to "
        "another corner to 0.03 [0.03, 0.04]. BARFI reaches 0.98 [0.98, 0.98] and 0.98 [0.98, "
        "0.98], with weights of 1.8 and -1.2 of the auxiliary reward: it makes a cost of what "
        "misleads. Potentials change nothing here, because they do not change the exact gradient.",
    ),
    "judged": Claim(
        "A reward that is fitted to noisy comparisons of single steps lets offline learning beat "
        "cloning (Venkataraman et al. 2024).",
        "Confirmed",
        "With 300 comparisons IQL comes 0.73 [0.67, 0.81] of the way to the best if a tenth of the "
        "answers is wrong, and 0.61 [0.51, 0.70] if three tenths are, beside 0.67 [0.62, 0.73] "
        "with the true reward and 0.04 [-0.05, 0.12] for cloning. With 30 comparisons it is no "
        "better than cloning, even without errors (0.06 [-0.29, 0.40]).",
    ),
    "overoptimisation": Claim(
        "Optimising a learnt reward first raises and then lowers the gold reward, later with more "
        "labels (Gao et al. 2023), and pessimistic ensembles mitigate that (Coste et al. 2024).",
        "Partly",
        "The best of 4096 actions by the mean of five networks has a gold reward of 0.77 with 50 "
        "labels, where that of 256 has 1.15 (a fall of 0.38 [0.16, 0.62]); with 200 labels the "
        "fall is 0.23 [0.05, 0.42], and with 1000 none is seen (0.07 [-0.07, 0.20]). The minimum "
        "of the five is better in each case (0.95, 1.39 and 1.99 against 0.77, 1.31 and 1.92), but "
        "within the intervals, and it falls too.",
    ),
    "perceptual-stages": Claim(
        "Stages that are found without labels in few demonstrations, told by few selected "
        "features, make a reward from which a task is learnt (Sermanet et al. 2017).",
        "Partly",
        "From five demonstrations, where features that tell other things are small, boundaries are "
        "found exactly (at equal lengths they are 10 of 40 frames off), and Q(lambda) reaches a "
        "success of 0.89 [0.72, 0.99], as with told stages. It is 0.99 [0.97, 1.00] by the true "
        "stages, 0.66 [0.41, 0.91] by the true goal, 0.46 [0.22, 0.69] by the last found stage "
        "alone and 0.16 [0.00, 0.34] by equal stages. With larger other features boundaries are "
        "3.7 frames off, and found stages have 0.78 [0.54, 0.95], told ones 0.82 [0.57, 0.99]. So "
        "finding the stages works, and beats equal ones and the last one alone; that it beats the "
        "sparse true reward is within the intervals, though the mean over the run is 0.55 against "
        "0.34. To select features helps from one demonstration, 0.83 [0.58, 1.00] against 0.33 "
        "[0.08, 0.58] with all 32, and not from five: all have 0.98 [0.96, 1.00], and the exactly "
        "best policy for the reward does the task in 1.00 with all and in 0.92 with few. The "
        "number of stages is given, and the learner sees its state. Initial values and the number "
        "of features were chosen on twelve other tasks.",
    ),
    "programmes": Claim(
        "A search that mutates the fittest reward programme finds better rewards than people write "
        "(Ma et al. 2024), and comparisons of behaviours are enough for it (Yu et al. 2024).",
        "Not reproduced",
        "With random mutation in place of a language model, the fittest of 96 programmes comes "
        "0.83 [0.73, 0.92] of the way to the best, as far as the best of 96 random ones (0.81 "
        "[0.69, 0.91]); a reward that is written by hand reaches all of it, and the task's own "
        "0.76 [0.65, 0.86]. Choosing by 90 noisy comparisons of behaviours is as good as by "
        "fitness (0.83). The language itself matters: with random weights of the same features the "
        "best of 96 reaches 0.42 [0.24, 0.61].",
    ),
    "ranked-factors": Claim(
        "A reward that is fitted to comparisons by ranked factors performs like a weighted sum "
        "that was tuned by hand, and keeps its performance where the scales of factors change "
        "(Bukharin et al. 2023).",
        "Partly",
        "Policies for the reward of ranked factors come 0.990 [0.983, 0.995] of the way to the "
        "best, whatever the units of any factor: judge and networks do not see them. A weighted "
        "sum comes 1.000 of the way in the right units, and 0.977 [0.961, 0.990] at worst, with "
        "the most important factor in a tenth of its units or the second one in ten times them. "
        "Weights and margins were chosen from three each on other worlds, in the right units. "
        "The robustness is exact, but in these worlds little is lost without it, and the tuned "
        "sum is better in the right units.",
    ),
    "restarted-critics": Claim(
        "After exploration without a reward, critics that begin anew learn better from "
        "preferences than those that go on from what exploration taught them (PEBBLE, Lee et al. "
        "2021).",
        "Not reproduced",
        "SAC learns the pendulum from 200 comparisons, after 2000 gradient steps of being paid for "
        "states far from others. With a learning rate of 0.001, the better of two for both by "
        "other seeds, the mean return after the exploration is -758 with the old critics and -844 "
        "with new ones: by seed, new ones lose 86 [9, 158]. At the end both are alike, -170 [-190, "
        "-150] and -156 [-182, -132]. With 0.0003, where all are still learning at the end, new "
        "ones lose 23 [-30, 76]. The 100 batches from which the authors' new critics learn at "
        "once are not part of it. The exploration itself costs here what it takes: without it, "
        "the same return is reached about 1400 environment steps earlier.",
    ),
    "several-critics": Claim(
        "With one critic for each of several rewards, whose standardised advantages are added, "
        "rewards do not interfere as they do in their sum (SLIM).",
        "Confirmed",
        "Of three rewards the policy gains least for one of them: 0.32 [0.26, 0.38] of the way "
        "from random actions to the best with a critic for each, whatever the units of one "
        "reward, since its standardised advantages do not know them. For the sum of rewards it "
        "is 0.31 [0.26, 0.37] in equal units, 0.02 [-0.07, 0.10] if one reward is in a tenth of "
        "its units, and -0.13 [-0.19, -0.06] if it is in ten times them. The mean over the "
        "three rewards is 0.55 with a critic for each, and 0.48 for the sum in equal units. "
        "Gradients are exact; of three step sizes, chosen by other processes, the smallest was "
        "the best for both. Skills and robots are not part of this.",
    ),
    "shuffled-frames": Claim(
        "Values that are told from shuffled frames order good demonstrations in time and not "
        "others, and serve to filter data and as advantages for imitation (Ma et al. 2025).",
        "Confirmed",
        "The rank correlation of values with time is 0.70 [0.66, 0.75] in new good episodes and "
        "0.05 [-0.01, 0.10] in others. Imitation of all data comes 0.42 [0.40, 0.44] of the way "
        "to the best, of the half with the larger correlation 0.64 [0.63, 0.66], of all steps "
        "weighted by the growth of the values 0.76 [0.68, 0.84], and of the good episodes alone "
        "0.79 [0.77, 0.81]. The weight was chosen on other tasks and is the largest of the "
        "three that were tried. The values are of a network of sets that was fitted to 16 good "
        "episodes of the same task, and not of a large model that never saw it.",
    ),
    "users": Claim(
        "A latent of each user, inferred from a few comparisons, recovers what users want who "
        "disagree, where one reward averages over them (Poddar et al. 2024).",
        "Confirmed",
        "After eight comparisons 0.97 to 0.99 of new answers are right for both kinds of users. "
        "With one reward for all 0.65 are where both are as many, and of users who are a tenth "
        "0.32. The posterior needs no divergence from its prior (0.97 to 0.99 without); with a "
        "weight of 1 it collapses, and all is as with one reward.",
    ),
}
