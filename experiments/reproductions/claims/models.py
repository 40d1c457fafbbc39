"""Claims on models and imagined rollouts."""

from experiments.reproductions.claims.claim import Claim

CLAIMS: dict[str, Claim] = {
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
    "empowerment": Claim(
        "Empowerment makes world models keep first what actions control, also where no reward "
        "tells (Bharadhwaj et al. 2022), and a bound on what the past does not tell of latents "
        "makes them resilient to distractors (Zhu et al. 2023).",
        "Partly",
        "RePo, with room for both factors and a reward at one place of three, keeps just what the "
        "reward tells of the place (0.57 to 0.58) and nothing of the sign, however long it lasts, "
        "where reconstruction keeps 0.78 to 0.81 of the place and 0.60 to 0.81 of the sign. "
        "InfoPower was not reproduced. Of all 3^9 ways to fill a narrow latent those that tell the "
        "place have the most empowerment (0.61 nats) at any persistence, and those that tell the "
        "sign the most information from 0.9 on. But descent finds the place in 2, 2 and 1 of 5 "
        "seeds, and then two of its three values only, else the sign or nothing: on a ring only "
        "two classes together tell the action, so that nothing moves a latent which tells nothing. "
        "A weight of empowerment of 5 is the best of 1 and 5; a smaller multiplier of the "
        "information was worse. Policies, and an encoder that adapts, were not tried.",
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
    "lipschitz": Claim(
        "One model with smooth values is as good as an ensemble (Zheng et al. 2023).",
        "Not reproduced",
        "No task was found that separates five models from one. A van der Pol oscillator that is "
        "learnt in 700 steps, in rollouts of eight steps and from imagined transitions only, has "
        "a final return of -2.91 [-3.18, -2.72] with five models and -3.12 [-3.37, -2.88] with "
        "one, six seeds each. Means of the Bellman gap are in the paper's order, 0.0024 with five "
        "and 0.0033 with one, and so are slopes of the value, 0.44 and 0.59. With spectral norms "
        "within 8 (of 2, 4 and 8) the gap is 0.0030, but the slope 0.92, and the return -3.63 "
        "[-5.01, -2.79] is no better; with robust values of weight 1 (of 0.1, 1 and 10) the gap "
        "is 0.0037, the slope 1.01 and the return -5.09 [-7.98, -2.98]. The two without smoothing "
        "were tuned over the learning rate, which is 0.003 in both, and those with it over its "
        "strength, at a rate of 0.001, so that both at once may do better; two other seeds chose. "
        "On Pendulum (2000 steps, four other seeds, mean of the curve) one model was ahead: -611 "
        "against -820 in rollouts of one step, and -851 against -894 in rollouts of sixteen.",
    ),
    "mismatch": Claim(
        "Models of higher likelihood do not control better (Lambert et al. 2020).",
        "Confirmed",
        "Among models of similar error the rank correlation of likelihood with return is 0.18; "
        "over three decades of error it is 0.94.",
    ),
    "reach": Claim(
        "Ten critics make up for short rollouts of the true model, offline (Sims et al. 2024).",
        "Not reproduced",
        "On Pendulum from data of its lower half, ten critics with one step have -1290 and two "
        "critics -1540; two critics with sixteen steps have -540.",
    ),
    "dreamt-recall": Claim(
        "State spaces keep what they have seen through long imagination, where gated cells forget "
        "(Deng et al. 2023).",
        "Confirmed",
        "After 32 imagined steps state spaces and transformers tell the cue and the reward of a "
        "guess always, in all of five seeds, and a GRU the cue in 0.85 [0.68, 1.00] and the reward "
        "in 0.76 [0.64, 0.87] of the dreams (chance is 0.25 and 0.63); after 8 steps all tell "
        "both. With a true past the GRU recalls no more, so that it forgets and is not misled by "
        "its dreams, of whose steps 0.97 to 1.00 are possible ones.",
    ),
    "recall": Claim(
        "State spaces and transformers recall what gated cells forget (Deng et al. 2023).",
        "Confirmed",
        "With 25 thousand parameters each, a GRU recalls 43 % after 64 steps and chance (24 %) "
        "after 256; the others recall everything. After 256 steps a step takes 15, 35 and 963 "
        "microseconds, and only the transformer's time grows. The past is read and not imagined: "
        "see dreamt-recall for recall within an open-loop dream, which is the paper's.",
    ),
    "sparse-control": Claim(
        "Control in a sparse surrogate needs far fewer steps than without a model, and its "
        "policies are sparse dictionaries as well (Zolman et al. 2024).",
        "Confirmed",
        "A van der Pol oscillator is controlled to within 10 % of descent through the true "
        "equations (-3.20) after 1500 steps, of which 500 are random; SAC needs 2500 and PPO "
        "10000. All end alike (-2.82 [-3.00, -2.62], SAC -2.94, PPO after 50000 steps -2.86; "
        "descent is from other starts, and its 500 iterations are 0.24 short of what 2000 reach), "
        "and SINDy-Dyna's last policies are no worse than its best ones (-0.11 [-0.30, 0.17]). The "
        "fishing of prey and predators (descent: -0.80) is controlled after 1500 steps too, where "
        "SAC needs 5500 and PPO 15000, and all end alike: -0.85 [-0.90, -0.80], SAC -0.89 [-0.98, "
        "-0.81], PPO -0.82 [-0.86, -0.78]. There the last policies of all are worse than the best "
        "ones, which are chosen by the same evaluations, by 0.10 [0.05, 0.13], 0.07 and 0.07. A "
        "linear dictionary of two and three numbers, where the network has 4417, is as good: -2.63 "
        "[-2.89, -2.40] and -0.86 [-0.94, -0.78]; of degree 3 it is worse for the oscillator, "
        "-4.04 [-5.86, -2.56]. Half of the rollouts in the surrogate start anywhere in the region "
        "of the data (wide_share), which the paper does not say. Before, all started where the "
        "last policy had been, and policies for the fishing decayed from -0.99 to -1.26 [-1.45, "
        "-1.13]; the share was then chosen on six other seeds, of 0 and 0.5. Rates and thresholds, "
        "of three, are the best for two other seeds; six seeds. The constant rate is worse for the "
        "fishing (-1.00). Its surrogate was first tried with degree 3, and had 19 terms, where the "
        "equations have 11.",
    ),
    "surrogates": Claim(
        "SINDy-Dyna controls after a tenth of PPO's steps (Zolman et al. 2024).",
        "Confirmed",
        "Pendulum reaches -300 after 2000 steps; PPO needs 30000 if it updates as often and "
        "100000 if tuned for its final return. SINDy-Dyna ends at -190 [-209, -173] after 10000 "
        "steps, and PPO at -166 [-178, -156] after a million. Half of the rollouts in the "
        "surrogate start anywhere in the region of the data, which the paper does not say, and "
        "which was tried on six other seeds; before, all started where the last policy had been, "
        "and policies decayed to -422.",
    ),
    "weighted-models": Claim(
        "Weighting a small model's errors by the value's gradient helps among distractors "
        "(Voelcker et al. 2022).",
        "Partly",
        "It learns faster than likelihood with and without distractors (mean of the curve -446 "
        "against -605 with ten), hardly faster than squared errors (-473), and all end alike. "
        "That its lead grows with distractors was not reproduced.",
    ),
}
