"""Other programs' names for settings and their values.

A setting has one name, because with two, both could be given: another name is refused,
and the error gives the right one. Another name of a value is accepted if it means
exactly the same, and replaced by ours.
"""

# Options of the command that are not settings.
OPTIONS = {
    "config", "preset", "out", "resume", "overwrite", "threads", "device", "json",
    "quiet", "require_accuracy", "no_plots", "tensorboard", "distributed",
}  # fmt: skip
RENAMED = {
    "averaging": "ema_decay",
    "validation": "validation_fraction",
    "early_stopping": "patience",
}
# Names in scikit-learn, PyTorch, Keras and others that are not similar to ours.
ALSO_CALLED = {
    "lr": "learning_rate",
    "eta": "learning_rate",
    "wd": "weight_decay",
    "bs": "batch_size",
    "batch": "batch_size",
    "layers": "hidden",
    "units": "hidden",
    "hidden_layer_sizes": "hidden",
    "nonlinearity": "activation",
    "kernel_initializer": "init",
    "epoch": "epochs",
    "max_iter": "epochs",
    "iterations": "epochs",
    "solver": "optimizer",
    "nesterov": "optimizer",
    "alpha": "l2",
    "lambda": "l2",
    "lmbda": "l2",
    "kernel_regularizer": "l2",
    "beta_1": "momentum",
    "beta1": "momentum",
    "beta_2": "beta2",
    "clip": "clip_norm",
    "clipnorm": "clip_norm",
    "global_clipnorm": "clip_norm",
    "max_grad_norm": "clip_norm",
    "grad_clip": "clip_norm",
    "ema": "ema_decay",
    "use_ema": "ema_decay",
    "ema_momentum": "ema_decay",
    "n_iter_no_change": "patience",
    "restore_best_weights": "patience",
    "validation_split": "validation_fraction",
    "lr_scheduler": "schedule",
    "scheduler": "schedule",
    "decay": "weight_decay",
    "random_state": "seed",
    "manual_seed": "seed",
    "save_steps": "checkpoint_steps",
    "save_freq": "checkpoint_steps",
    "every_n_train_steps": "checkpoint_steps",
    "save_total_limit": "keep_checkpoints",
    "max_to_keep": "keep_checkpoints",
    "data": "dataset",
    "label": "target",
    "loss": "task",
    "cost": "task",
    "criterion": "task",
    "gpu": "backend",
    "cuda": "backend",
    "augmentation": "augment",
    "verbose": "quiet",
} | RENAMED
# What to give in place of a setting that `nnx.train` does not take, or of another
# library's argument.
_TO_NETWORK, _TO_DATA = "it to nnx.Network", "it to nnx.dataset or nnx.load"
OF_TRAIN = {
    "dataset": "the data set, or its name, after the network",
    "data_dir": "it to nnx.load",
    "target": _TO_DATA,
    "task": _TO_DATA,
    "drop": _TO_DATA,
    "categorical": _TO_DATA,
    "missing": _TO_DATA,
    "standardize": _TO_DATA,
    "test_data": "it to nnx.load, or x_test and y_test to nnx.dataset",
    "validation_data": "validation, as a pair (x, y)",
    "hidden": "the widths to nnx.Network, as in nnx.Network([784, 128, 10])",
    "activation": _TO_NETWORK,
    "init": _TO_NETWORK,
    "dtype": _TO_NETWORK,
    "from": "the trained network",
    "device": "backend=nnx.find(name, device=…)",
    "precision": "backend=nnx.find(name, precision=…)",
    "threads": 'backend=nnx.find("numba", threads=…)',
    "n_jobs": 'backend=nnx.find("numba", threads=…)',
    "callbacks": "a function as on_progress",
    "verbose": "progress=True",
    "warm_start": "the trained network",
    "loss": "the task to nnx.dataset or nnx.load, which determines the loss",
    "cost": "the task to nnx.dataset or nnx.load, which determines the loss",
    "criterion": "the task to nnx.dataset or nnx.load, which determines the loss",
    "metrics": "none: the result has the loss, and the accuracy or R²",
    "shuffle": "none: the rows are shuffled in each epoch",
    "sample_weight": "class_weights, or use the estimators of nnx.sklearn",
}
ACTIVATIONS = {
    "swish": "silu",
    "logistic": "sigmoid",
    "linear": "identity",
    "leaky-relu": "leaky_relu",
}
# Here `he` and `lecun` are normal distributions, and `glorot` is a uniform one.
INITIALIZERS = {
    "kaiming": "he",
    "kaiming_normal": "he",
    "he_normal": "he",
    "xavier": "glorot",
    "xavier_uniform": "glorot",
    "glorot_uniform": "glorot",
    "lecun_normal": "lecun",
}
OPTIMIZERS = {"adamw": "adam"}
# Names that are refused with these suggestions.
ACTIVATIONS_INSTEAD = {
    "softmax": "those of hidden layers alone, as the outputs' softmax is built in",
}
OPTIMIZERS_INSTEAD = {
    "momentum": "sgd with momentum 0.9",
    "nag": "nesterov, Nesterov's accelerated gradient",
}
