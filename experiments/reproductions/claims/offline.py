"""Claims on learning from data and going on from it."""

from experiments.reproductions.claims.claim import Claim

CLAIMS: dict[str, Claim] = {
    "anchors": Claim(
        "Anchors near the data, and differences from them, make a conservative policy better where "
        "the data have no states (Song et al. 2024).",
        "Not reproduced",
        "On a plane whose right side has no data, COCOA comes 0.78 [0.70, 0.85] of the way to the "
        "best from there and CQL, of the same weight of its penalty, 0.83 [0.79, 0.88]. From "
        "starts with data they are at 0.87 [0.83, 0.92] and 0.79 [0.71, 0.87].",
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
    "histories": Claim(
        "A bisimulation loss lowers the number of episodes that offline learning from histories "
        "needs, and does nothing where it is not needed (Hong et al. 2024).",
        "Confirmed",
        "With eight observations of noise in the history the better action is found in 0.80 [0.72, "
        "0.89] of new histories after 48 episodes and in 0.75 [0.68, 0.82] after 192, with the "
        "loss in 1.00, as by who sees the state alone. Without noise both find it after 192. "
        "Without the loss it is best to leave the penalty of CQL out.",
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
}
