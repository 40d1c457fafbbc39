"""What each reproduction claims, the verdict of its kept run, and the numbers of that run."""

from typing import NamedTuple

VERDICTS = ("Confirmed", "Partly", "Not reproduced")


class Claim(NamedTuple):
    """A published claim beside what the command `jaxrl reproduce NAME` measured of it."""

    statement: str
    verdict: str  # one of VERDICTS
    numbers: str  # of the results in `kept`


CLAIMS: dict[str, Claim] = {
    "anchors": Claim(
        "Anchors near the data, and differences from them, make a conservative policy better where "
        "the data have no states (Song et al. 2024).",
        "Not reproduced",
        "On a plane whose right side has no data, COCOA comes 0.78 [0.70, 0.85] of the way to the "
        "best from there and CQL, of the same weight of its penalty, 0.83 [0.79, 0.88]. From "
        "starts with data they are at 0.87 [0.83, 0.92] and 0.79 [0.71, 0.87].",
    ),
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
    "approval": Claim(
        "PPO's loss on a data set, whose steps a model must approve of, with several policies, "
        "makes a better policy than other offline agents, and goes on online without a fall (Lei "
        "et al. 2024).",
        "Partly",
        "From data of a mediocre policy it comes 0.98 [0.95, 1.00] of the way to the best and IQL, "
        "with as many gradient steps, 0.81 [0.80, 0.83]. PPO that goes on from there is never "
        "below 0.96 and ends at 1.05, PPO from nothing at 0.82 [0.71, 0.92] after 2,560 steps. But "
        "neither the approval nor the number of policies matters: 0.98 [0.95, 1.00] without "
        "approval, 0.97 [0.95, 0.99] with one policy. Approval does not help against bad values "
        "either: in a first run, whose critics had learnt for 400 steps instead of 2,000, all "
        "four ways fell from 0.32 to below -0.8.",
    ),
    "chance": Claim(
        "Search with nodes of chance plays games of chance better than search that takes one "
        "drawn outcome of each move for the only one (Antonoglou et al. 2022).",
        "Confirmed",
        "In 2048 on two by two cells, searched in the game itself, nodes of chance have 0.999 "
        "[0.998, 1.000] of the best expected return with 8 simulations and 0.995 [0.993, 0.997] "
        "with 64, one drawn outcome 0.86 [0.79, 0.91] and 0.89 [0.84, 0.93]. Exact backups over "
        "chance play perfectly with 8 simulations, each of which sees all outcomes of all moves. "
        "Of the best nested CVaR at level 1/4 one drawn outcome has 0.54; backups of that risk "
        "play perfectly, and so do backups of the mean, since the same play is best for both "
        "here. The exploration constant, of three, is the best for one other key; five keys. "
        "Learnt models and larger boards were not tried.",
    ),
    "classification": Claim(
        "Classifying returns is better than regressing them (Farebrother et al. 2024).",
        "Partly",
        "On MinAtar's Breakout after 1e5 steps, HL-Gauss is better without a target network (6.9 "
        "against 5.5 for squared errors) and with 512 units (8.4 against 7.2). It is not better "
        "with 128 or 32 units, nor with noise on the rewards.",
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
    "composed": Claim(
        "A weighted sum of the scores of two policies, whose weights are searched at test time, is "
        "better than both (Cao et al. 2025).",
        "Confirmed",
        "Two flows that each see one coordinate of a goal wrongly reach it in 0.45 and 0.46 of the "
        "episodes, and with searched weights in 0.81; the gain over the better one is 0.34 [0.31, "
        "0.38]. Where one of the errors is three times the other, it is 0.20 [0.18, 0.22] over a "
        "flow that reaches 0.65. The best weight there is 0.4, and not the 0.1 of the least "
        "squared error: clones already discount what they see with large errors.",
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
    "continual": Claim(
        "Offline tasks one after another are remembered best if the steps nearest to rollouts of "
        "the policy are kept, and if another policy than that of the values clones them (Gai et "
        "al. 2023).",
        "Not reproduced",
        "With 48 steps kept of each of three tasks, the mean over tasks at the end is 0.88 [0.85, "
        "0.91] of the way to the best for OER, 0.93 [0.91, 0.94] for the same with random steps, "
        "and 0.46 [0.38, 0.53] where nothing is kept. TD3+BC that replays random steps is at 0.90 "
        "[0.79, 0.96]: it remembers more and learns the newest task less well (0.79 against 0.95). "
        "In data half of which are random actions, where the choice of steps was to matter most, "
        "OER is at 0.63 [0.53, 0.75], with random steps at 0.60 [0.52, 0.68], and replay at 0.91 "
        "[0.88, 0.93].",
    ),
    "control": Claim(
        "Cloning plans without their luck beats cloning what is conditioned on returns "
        "(Yang et al. 2023).",
        "Confirmed",
        "In a bandit DoC earns 0.90 in every seed, where a policy that is conditioned on winning "
        "earns 0.82 and 0.51, as its posterior says (0.82 and 0.50). Across ice it has a return of "
        "0.49 [0.43, 0.54] and a decision transformer 0.17. The constraint is not what helps here: "
        "without it they are 0.90 and 0.52. With its sign as in the authors' code, and latents "
        "that are shaped by values, they are 0.50 and 0.30, but 0.90 where winners are rare.",
    ),
    "corruption": Claim(
        "Huber losses, a quantile over critics and standardised observations make IQL robust "
        "(Yang et al. 2024).",
        "Partly",
        "The Huber loss does, against noise in three of ten rewards: the share of the way to the "
        "best return is 0.75 [0.72, 0.79], and without it -0.08 [-0.30, 0.07], worse than the "
        "data. The other two parts change nothing here, and noise in successors or observations "
        "does no harm to plain IQL (0.75 to 0.78), as the paper says of IQL.",
    ),
    "data-quality": Claim(
        "Cloning depends on the quality TQ of the data, unconstrained Q-learning on their coverage "
        "SACo, and constrained algorithms on both (Schweighofer et al. 2022).",
        "Partly",
        "The rank correlation with TQ is 0.86 [0.78, 0.89] for cloning, and that with SACo 0.56 "
        "[0.23, 0.83] for DQN and 0.50 [0.29, 0.71] for QR-DQN, which come 0.7 to 0.8 of the way "
        "to the best with covered data and are below random with an expert's. Constrained "
        "algorithms need no coverage here: CQL and BCQ reach 1.00 with the expert's data (SACo "
        "0.24) as with replay, and 0.78 and 0.77 with random data.",
    ),
    "demonstrations": Claim(
        "In environments that are generated anew for each episode, cloning before PPO or along "
        "with it saves steps, and two demonstrations can decide (Andres et al. 2023).",
        "Partly",
        "After 24,576 steps in rooms with a key and a door, PPO alone solves 0.36 [0.19, 0.49] of "
        "new rooms. With 100 demonstrations it solves 0.78 [0.71, 0.83] if it begins with their "
        "clone, and 0.72 [0.64, 0.81] if it clones along. With ten only cloning along is ahead, "
        "within the intervals (0.44 [0.38, 0.49]). Two decide nothing: cloned before they hinder "
        "(0.16 [0.10, 0.24]), and along they change the end not at all (0.36), though the mean "
        "over training rises from 0.20 to 0.25.",
    ),
    "dictionaries": Claim(
        "A policy that is distilled into a sparse dictionary controls as well, and is orders of "
        "magnitude smaller (Zolman et al. 2024).",
        "Confirmed",
        "On Pendulum polynomials of degree 5 that are fitted to SAC in states that it visits with "
        "noise have a return of -176 [-191, -161] with 52 numbers, and SAC's network -171 [-201, "
        "-149] with 4546. Degree 3 has -303 [-479, -190] with 18 and degree 1 -1440. Fitted in "
        "states from all angles and speeds they are worse: -688 with degree 5. For each the "
        "threshold, of three, is the best for one other seed; five seeds. One system, and "
        "polynomials of its observation only.",
    ),
    "distributional": Claim(
        "Critics of whole distributions learn faster than critics of means on MinAtar.",
        "Partly",
        "C51 may learn faster in Breakout: 18.8 [14.6, 26.8] after 3e5 steps, against 13.4 [11.8, "
        "16.4] for DQN. QR-DQN and IQN do not. In Asterix no critic has learnt by then.",
    ),
    "dreams": Claim(
        "MBPO needs a fraction of SAC's environment steps (Janner et al. 2019).",
        "Partly",
        "On Pendulum MBPO needs 1840 steps where SAC needs 6000, and SAC with as many gradient "
        "steps 3840. On brax's HalfCheetah (`--env brax/halfcheetah --steps 4e4 --seeds 3 "
        "--updates 10 --near 100`) a third of SAC's steps is not enough: MBPO has 535 [-18, 1220], "
        "SAC with as many gradient steps 69, and SAC ends at 1030 [754, 1440].",
    ),
    "edge": Claim(
        "Short rollouts of the true model mislead critics at the edge of their reach "
        "(Sims et al. 2024).",
        "Confirmed",
        "One critic and one step reach -11.2, the minimum of ten critics -1.46; the optimum is "
        "-1.40.",
    ),
    "exogenous-noise": Claim(
        "Temporal contrast and forward prediction of videos recover the state if the noise of "
        "observations is independent in time, and no objective without actions does if it is "
        "exogenous and lasts, where inverse models do (Misra et al. 2024).",
        "Confirmed",
        "If the noise is drawn anew at each step, a linear probe of eight features tells 0.94 "
        "[0.92, 0.95] of the variance of the state after a temporal contrast, 0.77 [0.73, 0.81] "
        "after forward prediction without actions, and 0.95 [0.94, 0.95] after inverse dynamics "
        "of three steps. If it stays with a probability of 0.95, these are 0.17 [0.09, 0.23], "
        "0.16 [0.07, 0.25] and 0.92 [0.92, 0.93]; inverse dynamics of one step has 0.90 [0.87, "
        "0.93]. The exact optimum of a contrast of one step goes from 0.99 to 0.00, and tells "
        "the noise instead. Objectives that see actions and predict what is seen are between: "
        "0.51 [0.43, 0.59] for the contrast of TACO and 0.30 [0.22, 0.38] for self-prediction. "
        "The controls tell little anywhere: an autoencoder at most 0.16, a random network 0.12. "
        "Of two learning rates each objective has the better one, by two other seeds; it is the "
        "larger one nearly everywhere.",
    ),
    "expressivity": Claim(
        "Objectives such as reward machines, temporal logic, nonlinear and regularised returns "
        "do not reduce to each other (Subramani et al. 2024).",
        "Confirmed",
        "In episodes of two choices, 25 of 30 pairs of six formalisms have an order of at most "
        "nine policies that one expresses and the other does not, by linear programmes. The "
        "five others reduce: Markov rewards to reward machines and to functions of the return, "
        "inside or outside of the expectation, and events and inner functions to reward "
        "machines, which see all of a finite episode. The average reward and the discounted "
        "return do not reduce to each other on processes of three states.",
    ),
    "features": Claim(
        "Values of intents, from data without actions, give features with which few labelled steps "
        "suffice (ICVF, Ghosh et al. 2023; V-PTR, Bhateja et al. 2023).",
        "Partly",
        "In four rooms that are seen as coordinates, values that are linear in these features come "
        "0.47 [0.41, 0.54] of the way to the best with 400 labelled steps; with one feature for "
        "each cell it is 0.34, and with those of a random network 0.17. But the same data with "
        "successors exchanged at random give features that are as good (0.43 [0.38, 0.48]): what "
        "helps here is to tell places apart, and not the dynamics.",
    ),
    "filters": Claim(
        "Rollouts that discriminators of real and proposed successors filter are more accurate "
        "where the data end (Luo et al. 2024).",
        "Partly",
        "An ensemble learns an oscillator from its left half. Over ten steps that begin in the "
        "right half the most credible proposal has a root mean squared error of 0.98 [0.87, 1.08], "
        "a random member and the mean of all 1.11 [1.08, 1.14], and the proposal nearest to the "
        "truth 0.93. From the left half it has 1.09 [0.99, 1.19] against 1.28 [1.20, 1.37] and "
        "1.28 [1.21, 1.36], with 1.08 for the nearest; but half of these rollouts have left the "
        "data after five steps, and as long as they are inside, where discriminators are at 0.95 "
        "of the loss of a coin, the filter is as good as a random member and the mean is better. "
        "A softmax choice gains less. The rate of the discriminators, of two, is the best for one "
        "other data set; six seeds. Offline policies in filtered rollouts were not compared.",
    ),
    "generalisation": Claim(
        "Models help beyond replay where states are combinations of parts (Young et al. 2023).",
        "Partly",
        "In mazes that are always new the return is -41 from replay, -34 in a learnt factored "
        "model and -24 in the true model. On a pan flute replay is as fast as the true model.",
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
    "gradients": Claim(
        "Orthogonal gradients of values stay near the data, where semi and true gradients fail "
        "(Mao et al. 2024).",
        "Partly",
        "Where actions lead to states that the data never begin from, O-DICE's return with a "
        "residual weight of 0.6 is 0.64 with orthogonal and 0.32 with semi gradients, of at most "
        "0.68; the true gradient has 0.63. Where there are no such states, semi and orthogonal "
        "gradients are alike, for the second half has a cosine of -1 with the first. The true "
        "gradient is the worst at a weight of 0.4 and the best at 0.7.",
    ),
    "guided": Claim(
        "Trajectories by diffusion that a policy leads have a lower dynamics error than "
        "rollouts of a model, at the same likelihood under the policy (Jackson et al. 2024).",
        "Not reproduced",
        "At log-probabilities of -0.35, -0.27 and -0.39, the error after 16 steps is 1.6 with "
        "guided diffusion, 3.4 with an ensemble fitted by likelihood and 0.35 with one fitted by "
        "squared error, which is better at every likelihood and depth.",
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
    "hindsight": Claim(
        "Learning from goals that were reached, in place of those that were pursued, solves tasks "
        "of many bits, where the latter learns only with few (Andrychowicz et al. 2017).",
        "Partly",
        "After 4,224 environment steps and 400 gradient steps DQN reaches 0.87 [0.73, 0.98] of the "
        "goals of 4 bits without hindsight and all with it. Of 8 bits it reaches 0.03 [0.02, "
        "0.05], with later steps of the episode as goals 0.22 [0.18, 0.27], and with its end 0.03 "
        "[0.02, 0.05]. Of 12 bits none has learnt anything by then: longer runs were not tried. "
        "All have the same settings, and none is tuned.",
    ),
    "histories": Claim(
        "A bisimulation loss lowers the number of episodes that offline learning from histories "
        "needs, and does nothing where it is not needed (Hong et al. 2024).",
        "Confirmed",
        "With eight observations of noise in the history the better action is found in 0.80 [0.72, "
        "0.89] of new histories after 48 episodes and in 0.75 [0.68, 0.82] after 192, with the "
        "loss in 1.00, as by who sees the state alone. Without noise both find it after 192. "
        "Without the loss it is best to leave the penalty of CQL out.",
    ),
    "horizon": Claim(
        "The effective horizon predicts how long deep agents need (Laidlaw et al. 2024).",
        "Confirmed",
        "In 32 random mazes its rank correlation with the steps needed is 0.68 for DQN and 0.75 "
        "for PPO.",
    ),
    "implicit-values": Claim(
        "Expectiles, log-mean-exponentials and sparse means tend to the best value in the data "
        "(IQL, XQL and SQL).",
        "Confirmed",
        "In 50 random processes the mean error falls from 11 to 0.13, 0.05 and 0.45, and the "
        "cloned policies reach 0.99 to 1.00 of the way from the data's return to that of the best "
        "actions in the data. Expectiles of sampled returns, without a value of actions between, "
        "take luck for skill: their error rises again, to 5.5.",
    ),
    "interventions": Claim(
        "A corrector's interventions fall while success without it rises (Luo et al. 2024).",
        "Confirmed",
        "With a scripted corrector the rate falls from 0.41 of the steps to 0, and after 6000 "
        "steps every seed inserts the peg without it, in 12.6 steps where the corrector takes "
        "23.1. Alone no seed ever does. That a half of each batch is of corrected steps makes no "
        "difference here.",
    ),
    "joint-actions": Claim(
        "Auto-regressive soft values learn joint actions from the data of a bad policy, where "
        "values of each dimension by itself do not (Liu et al. 2025).",
        "Confirmed",
        "From random actions, digits that see those before them reach the best soft policy: a "
        "share of 1.00 in a bandit of two dimensions that must agree, and 0.999 in a random "
        "process of 27 joint actions, with mean errors of 0.002 and 0.11 of the exact soft "
        "values. Independent digits reach 0.02 [0.01, 0.03] and 0.27 [0.24, 0.31]. The robots "
        "and games of the paper were not tried.",
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
    "labels": Claim(
        "A tenth of the actions, of bad episodes, is nearly enough: an inverse model tells the "
        "others (Zheng et al. 2023).",
        "Confirmed",
        "Where one action explains a step, IQL comes 0.62 [0.59, 0.65] of the way to the best with "
        "told actions and 0.68 with all, TD3+BC 0.79 [0.61, 0.90] and 0.88; with the known tenth "
        "alone both are worse than the data. Where noise hides the actions, which is the negative "
        "control, told actions are hardly better than the known tenth for IQL (0.06 and 0.07, of "
        "0.70 with all).",
    ),
    "levels": Claim(
        "Offline learning generalises by the number of levels and not of steps, and cloning does "
        "so best (Mediratta et al. 2024).",
        "Partly",
        "With 8000 steps of 1, 10, 100 and 1000 mazes, cloning solves 0.06, 0.17, 0.38 and 0.62 of "
        "new mazes. Sixteen times as many steps of 100 mazes raise that from 0.28 to 0.38 only. "
        "Cloning is better than CQL (0.42) and as good as BCQ (0.63).",
    ),
    "lipschitz": Claim(
        "One model with smooth values is as good as an ensemble (Zheng et al. 2023).",
        "Not reproduced",
        "Pendulum does not separate them: one model needs 2000 steps to a return of -250, five "
        "models 2500, one model with robust values 2250. With spectral norms below 2, which was "
        "not tuned, nothing is learnt.",
    ),
    "mismatch": Claim(
        "Models of higher likelihood do not control better (Lambert et al. 2020).",
        "Confirmed",
        "Among models of similar error the rank correlation of likelihood with return is 0.18; "
        "over three decades of error it is 0.94.",
    ),
    "offline-agents": Claim(
        "Offline agents that learn values are better than cloning wherever the data are not of a "
        "good policy (Levine et al. 2020).",
        "Partly",
        "On four data sets of our own, with 3,000 gradient steps and one number of each agent "
        "chosen from three, interquartile means between random actions and a good rule are 0.98 "
        "for BCQ and for EDAC (five critics), 0.94 for IQL and AWAC, 0.92 for CQL, 0.72 for "
        "cloning of the best fifth of the episodes, 0.53 for FQL, 0.46 for TD3+BC, 0.43 for "
        "ReBRAC, and 0.25 for cloning. Cloning of the best episodes is the best of all where most "
        "go astray (0.99; EDAC 0.81, BCQ 0.23), and none is best everywhere. Grids were small: "
        "AWAC, CQL, FQL and BCQ are best at their ends, so that these may do better. All rates "
        "are 0.001; with its own default for the actor, a tenth of that, CQL had 0.21.",
    ),
    "offline-robust": Claim(
        "Regularised robust offline planning is robust to a shift, and cheaper than in "
        "constrained sets (Tang, Liu and Xu 2025).",
        "Partly",
        "With the price of total variation plans gain 0.44 [0.39, 0.49] where half of all steps "
        "lead to a loss that no data show, and cost 1.49 where none does; at the milder price "
        "of 4 it is 0.25 and 0.36. A plan takes 0.09 milliseconds, as a nominal one does, and "
        "0.27 in a constrained set; with the chi-square divergence it takes 0.71, for its "
        "levels are searched too. But the constrained set of a radius of 0.2 has the better "
        "compromise: it gains 0.10 at a shift of 0.2, where no price gains as much, and costs "
        "0.22 without one.",
    ),
    "on-the-fly": Claim(
        "To take the best of several actions of a cloned flow and of their edits, in acting and in "
        "targets, needs up to half or a third of the steps of other ways to fine-tune (Dong et al. "
        "2025).",
        "Partly",
        "On the way to the rarer of two places, EXPO succeeds in 0.62 [0.36, 0.80] of the episodes "
        "on average over 2,440 steps, SAC with half of each batch from the demonstrations in 0.37 "
        "[0.12, 0.67], FQL in 0.19 [0.12, 0.25]. Without edits it is 0.31 [0.21, 0.42], without "
        "the choice among eight 0.40 [0.31, 0.48]: both parts count. With five seeds the "
        "lead over SAC is within the intervals, and at the end they are alike (0.75 and 0.64; "
        "three seeds of each get to 90 %). A first run, whose flow had cloned for 400 steps and "
        "made neither place, had EXPO at 0.51 and SAC at 0.63 at the end.",
    ),
    "onset": Claim(
        "Fine-tuning need not retain offline data if the frozen policy warms up first "
        "(Zhou et al. 2025).",
        "Partly",
        "The data are not needed for where it ends: after 3000 steps success is 0.97 [0.95, 0.98] "
        "after a warm-up, 0.97 [0.94, 0.98] without one, and 0.95 [0.92, 0.98] with a half of each "
        "batch from the data. But the warm-up does not prevent the drop at the onset: the lowest "
        "success is 0.00, without it 0.15 [0.06, 0.26] and with the data 0.06 [0.01, 0.13], and "
        "values at the data never grow. Keeping the penalty of CQL for a half of the steps, with "
        "an empty buffer, ends at 0.00.",
    ),
    "optimism": Claim(
        "Optimism keeps the regret of actor-critics, of exploration above a threshold and of "
        "ordered lists below the root of time (Tan et al. 2025; Li et al. 2023; Du et al. "
        "2024).",
        "Confirmed",
        "Cumulative regret grows by powers of 0.07 to 0.49 of time, where uniform policies have "
        "1 and greedy ones 0.41 to 0.93. On a chain the optimistic actor-critic replaces its "
        "critic 14 times in 1500 episodes; its regret of 87 is more than UCBVI's 7.8, because "
        "it begins anew each time, and 8.0 with offline data and no optimism. StepMix and "
        "EpsMix are never below their threshold and have regrets of 14.7 and 17.2; UCBVI has "
        "10.4, and is below it in 0.1 % of all episodes. With lists of three of six items "
        "CascadingVI has 25, and UCBVI with an action for each list 267.",
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
    "policy-gradients": Claim(
        "Momentum without lag, corrected sampling and critics of two sources need fewer samples "
        "(Fatkhullin et al. 2023; Corrado and Hanna 2024; Zhou et al. 2024).",
        "Partly",
        "After 2000 episodes N-PG-IGT has a shortfall of 0.088 [0.071, 0.107], an average of "
        "ten gradients 0.111 [0.097, 0.129] and a single gradient 0.352; N-HARPG, which samples "
        "two episodes for each step, has 0.169. After 300 episodes a buffer by PROPS has a "
        "divergence of 0.0019 from the policy and a gradient error of 0.027, where the policy's "
        "own has 0.0060 and 0.051, but one plain gradient step, with a step size of its own, "
        "has 0.00003 and 0.002. HNPG opens a lock of eight with offline data, where its own "
        "returns alone do not, and a lock of two that the data know nothing of, where these "
        "alone do not.",
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
    "proto-values": Claim(
        "Features from the values of random tasks improve with the number of tasks, and values "
        "that are linear in them do well (Farebrother et al. 2023).",
        "Confirmed",
        "In four rooms 32 features leave out 0.65 [0.61, 0.68] of the optimal values of all "
        "goals with one task, 0.26 with ten and 0.10 [0.10, 0.10] with 300, where those of a "
        "random network leave out 0.76 and the best 32 directions of the exact successor "
        "representation 0.07. The policy of linear values that are fitted to 400 labelled steps "
        "comes 0.06, 0.19 and 0.41 [0.32, 0.51] of the way to the best; one feature for each "
        "cell gives 0.34 [0.31, 0.37].",
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
    "ranks": Claim(
        "Features that are no more alike than the Bellman equation allows give better values and "
        "returns than those of an unconstrained critic or of the highest rank (He et al. 2024).",
        "Partly",
        "With DDPG on Pendulum a high rank harms: a penalty of 10 for it raises the effective rank "
        "from 5.3 to 13.7 and the root mean squared error of values from 11 to 39, with values 28 "
        "too high, and has a return of -780 [-1047, -545]. But BEER gains nothing: without it the "
        "features never exceed the bound, which is close to 1 where rewards are small beside "
        "values, so that its penalty has nothing to do (-231 [-349, -157] and -209 [-275, -156] "
        "with coefficients of 1e-3 and 10, -176 [-188, -155] without, at ranks of 5.3 and 5.4). "
        "Five seeds and 4e3 steps; the twelve control tasks of the paper were not tried.",
    ),
    "rates": Claim(
        "Categorical evaluation contracts by the square root of gamma, quantile evaluation by "
        "gamma.",
        "Confirmed",
        "Both bounds hold. The bound of categorical tables is far from attained.",
    ),
    "reach": Claim(
        "Ten critics make up for short rollouts of the true model, offline (Sims et al. 2024).",
        "Not reproduced",
        "On Pendulum from data of its lower half, ten critics with one step have -1290 and two "
        "critics -1540; two critics with sixteen steps have -540.",
    ),
    "recall": Claim(
        "State spaces and transformers recall what gated cells forget (Deng et al. 2023).",
        "Confirmed",
        "With 25 thousand parameters each, a GRU recalls 43 % after 64 steps and chance (24 %) "
        "after 256; the others recall everything. After 256 steps an imagined step takes 15, 35 "
        "and 963 microseconds, and only the transformer's time grows.",
    ),
    "receding": Claim(
        "Plans of a diffusion policy that go on from the last plan need fewer denoising steps "
        "(Duan et al. 2025).",
        "Partly",
        "Two passes from the last plan succeed in 84 % of the episodes, as many as twenty from "
        "noise (85 %), and five in 89 %. But two passes from noise are hardly worse (82 %), and "
        "one pass from the last plan is worse than one from noise (36 against 74 %).",
    ),
    "regularisers": Claim(
        "To imitate the nearest of the data's actions (PRDC, Ran et al. 2023), or generated better "
        "ones (A2PR, Liu et al. 2024), is better than to imitate the action that was taken.",
        "Partly",
        "Where four of five episodes go astray, A2PR comes 0.63 [0.60, 0.65] of the way to the "
        "best, PRDC 0.72 [0.55, 0.85] and TD3+BC 0.49 [0.40, 0.57]. In data of a mediocre policy, "
        "and in data with gaps, PRDC is no better than TD3+BC (0.68 and 0.71, against 0.71 and "
        "0.72), and the lead of A2PR is within the intervals (0.76 in both).",
    ),
    "risk-levels": Claim(
        "Planning for CVaR by passing levels on promises more than any policy has, and its policy "
        "has less than the best (Hau et al. 2023; Godbout and Durand 2025).",
        "Confirmed",
        "On 100 random processes, beside the exact optimum by a stock: at level 0.2 it promises "
        "0.036 [0.025, 0.048] more than the best CVaR, in 68 % of the processes and never less, "
        "and its policy has 0.053 [0.030, 0.080] less, at worst 0.63. Some of what is promised is "
        "what lines between 60 levels add. It is still the best of the ways without a stock: "
        "greedy in the CVaR of what is left loses 0.25, the best nested policy 0.39 and the best "
        "mean 0.69.",
    ),
    "robust": Claim(
        "Robust plans are better where the world is shifted.",
        "Partly",
        "They are better where the kernel is shifted by more than about 0.4 towards the worst "
        "case. Towards random kernels they are not.",
    ),
    "search": Claim(
        "Gumbel MuZero solves small games, and AlphaZero's search beats its own prior.",
        "Partly",
        "Both games are solved in 5 of 5 seeds. On Catch search raises the prior's -0.5 to 0.9 "
        "with 64 simulations. On a gridworld after as little training only few simulations help: "
        "with many, values that are not yet learnt mislead the search.",
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
    "static-worlds": Claim(
        "A sequence of ordinary problems is competitive with robust control against an adversary "
        "who moves at every step (Zouitine et al. 2024).",
        "Partly",
        "Exactly, on small processes. In a windy corridor and for a pendulum of unknown mass on a "
        "grid it reaches 2.89 and -13.5 in the worst world, whatever world it begins with, in "
        "about two rounds; planning against an adversary of every step has 2.89 and -13.8. Plans "
        "for one end of the family alone have as much (2.89 and -13.5). In 200 random processes it "
        "finds the best static plan in 0.81, the other in 0.72 and a plan for the middle in 0.68; "
        "but where it fails it falls deeper, with 7.48 [6.85, 8.10] in the mean against 7.75 "
        "[7.18, 8.33] and 7.68 [7.09, 8.26], of 7.94. Networks, and a search for the worst world "
        "among continuous ones, were not tried.",
    ),
    "steering": Claim(
        "Reinforcement learning over the noise of a cloned diffusion policy needs few steps to "
        "improve it (Wagenmaker et al. 2025), and so do edits of a cloned policy (Ankile et al. "
        "2025).",
        "Partly",
        "With critics of the actions that the noise makes, all of six seeds reach 90 % and keep "
        "it, after 6900 steps in the median; without them one does. ResFiT is the first to "
        "improve, to about a half after 3200 steps, where SAC is at 0 with demonstrations and "
        "without; it ends at 0.82 [0.69, 0.91], but one of six seeds keeps 90 % within 8000 steps. "
        "SAC ends at 0.33 [0.00, 0.67]; with a half of each batch from the demonstrations five of "
        "six seeds get there, after 7500 steps.",
    ),
    "stock": Claim(
        "One network obeys the level of risk it is given (Pires et al. 2025).",
        "Partly",
        "It does at risk-averse levels. At risk-seeking levels it is too careful: 6.8 of 9.",
    ),
    "submodular": Claim(
        "Policy gradients of marginal gains maximise what a whole episode covers (Prajapat et "
        "al. 2024).",
        "Partly",
        "Walks come to 0.985 [0.974, 0.994] of the value of the best one, where rewards of "
        "cells, as if each were the first, lead to 0.795 [0.741, 0.842]. The gradient of single "
        "gains, which is not that of the objective, comes to 0.974 and the greedy walk to "
        "0.977, which these maps do not tell apart from it.",
    ),
    "surrogates": Claim(
        "SINDy-Dyna controls after a tenth of PPO's steps (Zolman et al. 2024).",
        "Partly",
        "Pendulum reaches -300 after 5000 steps; PPO needs 20000 if it updates as often and "
        "113000 if tuned for its final return. Then the surrogate's policies decay to -422 while "
        "PPO's improve.",
    ),
    "unknown-models": Claim(
        "Optimism learns latent processes without paying for the horizon, models for any "
        "reward, and average rewards with few switches (Zhou et al. 2023; Zhang et al. 2023; He "
        "et al. 2024).",
        "Partly",
        "Told the process in hindsight, the regret after 600 episodes is 4.5, 4.6 and 4.6 at "
        "horizons of 3, 4 and 5; UCBVI, for which the processes are one, has 87 and goes on. "
        "LOOP switches 3 times in 12000 steps where UCRL2 does 22 times, with a regret of 63 "
        "[33, 94] against 78 [43, 114]. Without rewards exploration has 0.11 to 0.24 where "
        "uniform actions have 0.47 and bonuses of counts 0.40, and 0.24 at a horizon of 40; but "
        "the weights of HF-UCRL-RFE++ do not help: 0.20 [0.12, 0.32] with them, 0.11 [0.09, "
        "0.14] without.",
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
    "verdicts": Claim(
        "Without resets, false positives of a success classifier spoil what is learnt, and false "
        "negatives do not; a classifier that is fitted to examples suffices (after Yang et al. "
        "2023).",
        "Confirmed",
        "One false positive in twenty steps leaves a true success of 0.03 [0.01, 0.06]. Without "
        "errors it is 0.92 [0.75, 1.00], and with a twentieth or a fifth of the successes missed "
        "0.95 [0.87, 1.00] and 0.81 [0.48, 0.99]: not all of the six seeds learn the task. A "
        "classifier of 256 examples, which also ends the tasks, leads to 0.93 [0.83, 1.00]: its "
        "false positives, 0.02 of all places, are beside the goal. One of 16 examples has 0.10 and "
        "leads to 0.44 [0.23, 0.69].",
    ),
    "wanted": Claim(
        "One network earns the return it is asked for, in MinAtar's Breakout (Pires et al. 2025).",
        "Partly",
        "Asked for 0, 1, 2, 3, 4 and 5 it earns 0.7, 1.7, 2.4, 3.0, 4.2 and 4.5, of the 6.1 that "
        "DQN earns: too much where little is asked for.",
    ),
    "weighted-models": Claim(
        "Weighting a small model's errors by the value's gradient helps among distractors "
        "(Voelcker et al. 2022).",
        "Partly",
        "It learns faster than likelihood with and without distractors (mean of the curve -446 "
        "against -605 with ten), hardly faster than squared errors (-473), and all end alike. "
        "That its lead grows with distractors was not reproduced.",
    ),
    "zero-shot": Claim(
        "Forward-backward representations act for rewards that are told after learning (Touati and "
        "Ollivier 2021), from states to imitate as from rewards (Sikchi et al. 2025), with "
        "conservative measures better from little data (Jeen et al. 2024), and successor features "
        "of Hilbert distances are better than others (Park et al. 2024).",
        "Partly",
        "In four rooms of 20 cells, with 12 dimensions and 600 gradient steps on 4000 random "
        "steps, FB comes 0.50 [0.47, 0.52] of the way to the best over 32 rewards, and 0.51 [0.47, "
        "0.53] where it imitates cells without a reward. From 96 steps, which show 0.66 of the "
        "pairs, it is 0.39 [0.38, 0.40], where planning in them has 0.60 [0.53, 0.65]. The "
        "conservative versions are as good from both (0.50 and 0.51; 0.38 and 0.38), and not "
        "better. Features of a random network, 0.51 [0.50, 0.53], are as good as FB, and Hilbert "
        "ones, 0.38 [0.35, 0.40] and 0.15 [0.10, 0.21] from little data, worse than those of the "
        "Laplacian (0.45 and 0.26). All have networks of the same size and as many steps.",
    ),
}


def verdict(name: str) -> str:
    """The verdict of the kept run of a claim in one line, such as `Confirmed: ...`."""
    claim = CLAIMS[name]
    return f"{claim.verdict}: {claim.numbers}"
