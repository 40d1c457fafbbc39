"""Claims on goals, skills and representations."""

from experiments.reproductions.claims.claim import Claim

CLAIMS: dict[str, Claim] = {
    "action-contrast": Claim(
        "A contrast of what sequences of actions lead to, beside the loss of the agent, lets it "
        "learn from fewer steps (TACO, Zheng et al. 2023).",
        "Partly",
        "In CartPole with eight observations that mean nothing, after 10,000 steps, the mean of "
        "the learning curve of DQN is 161 [153, 169] with the objectives of TACO and 125 [119, "
        "132] without, and with 16 names for the two actions 123 [107, 143] and 84 [80, 89]. The "
        "mean return first passes 100 after 3,712 steps instead of 5,504 with two actions. The "
        "returns at the end differ less: 230 [203, 261] and 205 [196, 213] with two actions, "
        "and 213 [191, 243] and 173 [166, 180] with 16. The gain is not larger with more names "
        "of actions. Both are the best of three learning rates, which is the largest one for "
        "all of them, and the second objective is one more step of the hidden layers after each "
        "of DQN's, so that larger rates of DQN alone might make up for a part of it.",
    ),
    "coverage": Claim(
        "Skills that are paid for the distance they cover (METRA, Park et al. 2024) cover what "
        "there is, where those that are only told apart (DIAYN, Eysenbach et al. 2019) need not go "
        "far.",
        "Partly",
        "In an open square, after 9,216 steps, the skills of METRA end 1.24 [1.21, 1.28] from the "
        "middle and those of DIAYN 1.02 [0.97, 1.08], as far as SAC without a reward, 0.99 [0.89, "
        "1.08]. But they cover hardly more of it, 0.44 [0.41, 0.47] and 0.42 [0.39, 0.45]: in the "
        "picture several of METRA's eight skills go the same way. SAC without a reward covers 0.30 "
        "[0.26, 0.34] and random actions 0.14 [0.13, 0.15]. The best of three learning rates is "
        "the largest for all.",
    ),
    "distances": Claim(
        "A quasimetric that is as large as it can be while no step is longer than 1 becomes the "
        "distance on the shortest paths (QRL, Wang et al. 2023), where contrastive scores are "
        "of the behaviour and temporal differences err more.",
        "Partly",
        "After 2,000 gradient steps on 16,000 random steps in four rooms, the policies of QRL "
        "come nearer to their goal in 0.92 [0.92, 0.92] (residual) and 0.92 [0.91, 0.92] "
        "(intervals) of all pairs of cells, that of GCIVL in 0.88 [0.88, 0.89] and that of "
        "contrastive scores in 0.84 [0.83, 0.85]. The rank correlation of distances with the "
        "shortest paths is 0.96 [0.96, 0.96] and 0.86 [0.79, 0.93], 0.55 [0.49, 0.61], and 0.91 "
        "[0.88, 0.94]. But the distances of QRL are not those of the shortest paths by then: "
        "they are wrong by 8.0 and 6.0 steps on average, and those of GCIVL by 2.75. "
        "And that contrastive scores are of the behaviour does no harm here: the exact ones of "
        "a random walk order the cells as well (0.98), and their best actions come nearer in "
        "0.996 of the pairs. The best of the three learning rates is the largest, but for the "
        "contrast. A first trial with 800 steps had the same order of the policies, with 0.90, "
        "0.89, 0.82 and 0.70, and lower correlations.",
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
    "pretraining": Claim(
        "Features that predict the action between two observations, from demonstrations of many "
        "tasks, make better imitators of new tasks than those of cloning, forward prediction, "
        "contrast or reconstruction (Brandfonbrener et al. 2023).",
        "Confirmed",
        "After 800 gradient steps on 200 demonstrations, linear policies of six features of "
        "inverse dynamics reach new goals in 0.15 [0.11, 0.20], 0.49 [0.38, 0.60] and 0.61 "
        "[0.52, 0.70] of the episodes from 1, 5 and 20 demonstrations. The others have 0.07 "
        "[0.05, 0.09], 0.29 [0.20, 0.40] and 0.43 [0.31, 0.56] (contrast), 0.07 [0.06, 0.08], "
        "0.25 [0.19, 0.32] and 0.38 [0.31, 0.45] (ACT-JEPA), 0.06 [0.05, 0.07], 0.20 [0.15, "
        "0.26] and 0.29 [0.25, 0.35] (cloning), and less (forward prediction, reconstruction "
        "and a random network). The intervals of the contrast and of inverse dynamics touch "
        "from 2 demonstrations on. Without features, the 16 numbers that are seen have 0.03 "
        "[0.02, 0.03], 0.33 [0.25, 0.41] and 0.61 [0.53, 0.70]: what is learnt helps where "
        "demonstrations are few. The places themselves have 0.99 or more. Each objective has "
        "the best of three learning rates.",
    ),
    "reranking": Claim(
        "One value function, learnt by Cal-QL from data, improves several frozen policies of "
        "different kinds, by choosing among what each of them draws (V-GPS, Nakamoto et al. "
        "2024).",
        "Confirmed",
        "A critic of 600 gradient steps on 1,280 steps of mixed quality brings all three "
        "policies nearer to the best one, and the more so the more actions it chooses from. "
        "With 4, 16 and 64 draws a noisy policy comes 0.38 [0.35, 0.42], 0.50 [0.44, 0.57] and "
        "0.55 [0.45, 0.65] of the way, a hesitant one 0.59 [0.55, 0.63], 0.77 [0.76, 0.79] and "
        "0.82 [0.81, 0.83], and one that goes elsewhere 0.15 [0.15, 0.16], 0.28 [0.27, 0.29] "
        "and 0.45 [0.44, 0.47]. Up to 64 draws none is too many. Conservatism is not what does "
        "it: a critic without it is as good for the last two, and better for the noisy policy, "
        "with 0.67 [0.59, 0.75] of 64 draws. Of three learning rates the smallest is the best "
        "for Cal-QL, and the largest without conservatism.",
    ),
    "subgoals": Claim(
        "A policy that chooses subgoals reaches far goals where a single policy of the same "
        "values fails (HIQL, Park et al. 2023), and its values order far subgoals rightly only "
        "if they are those of options (OTA, Ahn et al. 2025).",
        "Partly",
        "After 2,400 gradient steps on 32,000 steps of noisy walks in a corridor of 47 cells, "
        "the values of OTA prefer a place 10 cells ahead on the way to goals that are 15 to 29 "
        "cells away in 1.00 [1.00, 1.00] of the pairs, and to those further away in 0.92 [0.88, "
        "0.96], where those of HIQL do in 0.63 [0.60, 0.66] and 0.75 [0.71, 0.79]. OTA reaches "
        "0.70 [0.60, 0.82] and 0.24 [0.14, 0.33] of these goals, and HIQL 0.41 [0.33, 0.47] and "
        "0.02 [0.00, 0.05]. But GCIVL, which has no subgoals, reaches 0.52 [0.43, 0.60] and "
        "0.22 [0.12, 0.31], more than HIQL at each distance. Goals nearer than 15 cells are "
        "reached in 0.93 [0.89, 0.96] of the episodes by GCIVL, 0.86 [0.82, 0.90] by HIQL and "
        "0.84 [0.80, 0.87] by OTA, all of whose values order them rightly. Of three learning "
        "rates the smallest is the best for HIQL and OTA, and the largest for GCIVL. A first "
        "trial with 1,000 steps and 59 cells, in which none reached a goal 30 cells away, had "
        "the same order of HIQL and OTA at 15 to 29 cells.",
    ),
    "teachers": Claim(
        "A small recurrent student of many teachers, each of one system, acts well in systems that "
        "none of them knew, better than domain randomisation (RAPTOR, Eschmann et al. 2025).",
        "Partly",
        "The cost of a system's own regulator is 0.85 [0.83, 0.86] of the cost of a recurrent "
        "student of 64 regulators in systems outside of the range that they are from, 0.81 [0.74, "
        "0.87] with 4 of them, and 0.77 [0.74, 0.80] without a memory; within the range 0.97, 0.95 "
        "and 0.96. So more teachers and a memory help. But policies without teachers, which "
        "descend the mean cost over random systems through the simulator, are better: 0.91 [0.89, "
        "0.92] outside and 0.98 within, and without a memory 0.83 [0.82, 0.85] and 0.97. "
        "Randomisation by a method without the simulator's derivatives was not tried. The best of "
        "three learning rates is the largest for all.",
    ),
    "varying-players": Claim(
        "Policies with latents of the game and of a mode, which maximise a constrained mutual "
        "information, reach a Nash equilibrium in every game of evaluation if the latent space is "
        "large enough, and adapt by a few gradient steps where it is not (MRA, Zhang et al. 2023).",
        "Partly",
        "In new games of two players the largest gain by a deviation falls with the latent of the "
        "game: 0.64 [0.58, 0.71] without one, 0.39, 0.13 and 0.12 with one, two and four "
        "dimensions, 0.09 [0.07, 0.10] with eight, and 0.06 [0.04, 0.08] with four modes beside "
        "these. Four numbers of a game decide the best replies, and no latent brings the gain to "
        "0, not even in the games that were learnt from (0.10 [0.08, 0.13]). Numbers of players "
        "that were not learnt are harder where they lie beyond: with eight dimensions and 4 modes "
        "0.15 [0.10, 0.22] for three players, between two and four (0.24 [0.19, 0.28]), and 0.36 "
        "[0.31, 0.44] for five. Four modes without a latent of the game, of which the best "
        "counts, go from 0.64 to 0.14 [0.12, 0.16] and for five from 0.97 to 0.60 [0.56, 0.65]. "
        "Thirty gradient steps help all, with eight dimensions and five players from 0.48 to 0.19. "
        "But networks that learnt nothing adapt better from three players on: after three steps "
        "of 0.1 to 0.12, 0.11 and 0.15 for three, four and five, and after thirty to 0.06, 0.09 "
        "and 0.09. Steps of adaptation have the best of five sizes by other seeds, and the smaller "
        "ones are best for all that learnt. Networks are small, and learn for 1500 steps.",
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
        "Laplacian (0.45 and 0.26). All have networks of the same size and as many steps. "
        "The world, its discount and the number of features were chosen after a first trial of FB "
        "alone, in a larger one with 57 cells, had 0.26 and 0.16.",
    ),
}
