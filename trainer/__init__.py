"""The trainer: Falcon2 over token files, in stages, in any layout of processes.

Its modules, in an order in which they can be read:

what is asked for    config (the recipe), layout, watch; launch
the model            model, attention, loss, parallel, optim, build
its sequences        data (steps, and their batches), loader, held_out
training             loop, transitions; session (begun, gone on with, taken back); run (in its folder)
what may come        signals, lock, heartbeat, stragglers, errors
what is kept         checkpoint, saving, record, changes, consumed
what is seen         observer, metrics, pace, flops, profiling; sinks, scalars, tensorboard, wandb_log; report,
                     report_charts; trace
other programs       weights, hf, hf_config, hf_import, card, draft; evaluate, suite, results
beforehand           plan/
"""
