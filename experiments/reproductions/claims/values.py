"""Claims on values, dynamic programming and policy gradients."""

from experiments.reproductions.claims.claim import Claim

CLAIMS: dict[str, Claim] = {
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
    "distributional": Claim(
        "Critics of whole distributions learn faster than critics of means on MinAtar.",
        "Partly",
        "C51 may learn faster in Breakout: 18.8 [14.6, 26.8] after 3e5 steps, against 13.4 [11.8, "
        "16.4] for DQN. QR-DQN and IQN do not. In Asterix no critic has learnt by then.",
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
    "frequencies": Claim(
        "An actor of sequences acts well at slower decisions than it was trained at, where SAC, "
        "which repeats its last action, does not (Patel and Siegelmann 2025).",
        "Confirmed",
        "On Pendulum, after 10,000 steps, sequences of four actions have 0.97 of the way from "
        "random torques to -150 if they see every eighth state only, SAC 0.38, and SAC that learnt "
        "with actions of four steps 0.71. The areas under the curves are 0.81 [0.79, 0.83], 0.51 "
        "[0.36, 0.59] and 0.69 [0.65, 0.74]. With every sixteenth state all of them fail, and with "
        "every fourth none does. The best of two learning rates is the largest for the last two.",
    ),
    "horizon": Claim(
        "The effective horizon predicts how long deep agents need (Laidlaw et al. 2024).",
        "Confirmed",
        "In 32 random mazes its rank correlation with the steps needed is 0.68 for DQN and 0.75 "
        "for PPO.",
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
    "stock": Claim(
        "One network obeys the level of risk it is given (Pires et al. 2025).",
        "Partly",
        "It does at risk-averse levels. At risk-seeking levels it is too careful: 6.8 of 9.",
    ),
    "submodular": Claim(
        "Policy gradients of marginal gains maximise what a whole episode covers (Prajapat et "
        "al. 2024).",
        "Partly",
        "Policies of the time and the cell come to 0.981 [0.971, 0.990] of the value of the best "
        "one, and policies that also know what was visited to 0.992 [0.987, 0.996], where rewards "
        "of cells, as if each were the first, lead to 0.789 [0.736, 0.836]. Where two moves of "
        "five slip they come to 0.956 [0.941, 0.972], 0.972 [0.955, 0.988] and 0.868 [0.831, "
        "0.901]. The gradient of single gains, which is not that of the objective, comes to 0.972 "
        "and 0.933 and the greedy walk to 0.977 and 0.969, which these maps do not tell apart from "
        "it, but for the policies that know the past where nothing slips.",
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
}
