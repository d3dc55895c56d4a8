"""The run as a whole: its name, seed, device, number types, paths, log and checkpoints."""

from __future__ import annotations

from srtoolbox.apps.import_config.family.project import Import
from srtoolbox.apps.import_config.options import Options

BASE = "_base_/runtime.py"
FOLDERS = (
    "root", "experiments_root", "models", "training_states", "resume_models", "log", "visualization", "results_root"
)  # fmt: skip
LAUNCH = "how a run is started, not what it computes (docs/distributed.md)"
LAUNCHING = (
    "dist_params", "launcher", "set_CUDA_VISIBLE_DEVICES", "find_unused_parameters", "dist", "is_train", "rank",
    "world_size", "root_path", "start_iter", "switch_iter_per_epoch", "contents",
)  # fmt: skip


def read_general(job: Import) -> None:
    """Read the top of the file: name, seed, GPUs, number types."""
    options, draft = job.options, job.draft
    name = options.take("name")
    if name:
        if job.is_training:
            draft.set("work_dir", f"work_dirs/{name}")
            options.mapped("name", "work_dir", f"'work_dirs/{name}'")
        else:
            options.same("name", "an evaluation has no folder of its own; results: --out, --report")
    for key in LAUNCHING:
        options.same(key, LAUNCH)
    for key in ("print_network", "watch", "contrib", "version"):
        options.same(key, "what is printed, not what is computed")
    options.same("tile", "images that do not fit into memory are cut by themselves (docs/large_images.md)")
    for key in ("auto_resume", "resume"):
        options.same(key, "tools/train.py CONFIG --resume")
    options.same("onnx", "tools/export.py writes ONNX (docs/export.md)")
    for key in ("input_pixel_format", "output_pixel_format"):
        if options.take(key, "rgb") != "rgb":
            options.lost(key, "images are RGB in [0, 1], or the luma of a network that has colour='y'")
        options.same(key, "images are RGB")
    _read_gpus(job)
    if job.is_training:
        _read_seed(job)
        _read_precision(job)
    else:
        for key in (*_SEEDS, "use_amp", "bfloat16", "amp_bf16", "fast_matmul", "compile", "use_compile"):
            options.same(key, "evaluation draws nothing, and computes in float32")


_SEEDS = ("manual_seed", "deterministic")


def _read_seed(job: Import) -> None:
    train = job.options.peek("train")
    holder = job.options
    if "manual_seed" not in holder and isinstance(train, dict) and train.get("manual_seed") is not None:
        return  # of 2020: read with `train`
    if "manual_seed" in holder:
        job.draft.set("seed", holder.number("manual_seed", int, 0))
        holder.mapped(
            "manual_seed", "seed", f"{job.draft.get('seed')}; the same numbers are drawn, but others than there"
        )
    if holder.take("deterministic"):
        job.draft.set("runtime.deterministic", True)
        holder.mapped("deterministic", "runtime.deterministic", "True")


def _read_gpus(job: Import) -> None:
    options = job.options
    for name in ("num_gpu", "gpu_ids"):
        if name not in options:
            continue
        value = options.take(name)
        count = len(value) if isinstance(value, list) else value
        if count == 0:
            job.draft.set("runtime.device", "cpu")
            options.mapped(name, "runtime.device", "'cpu'")
        elif isinstance(count, int) and count > 1:
            start = f"tools/dist_train.sh CONFIG {count} starts {count} processes; batch_size is of each, as there"
            options.different(name, "data.train.batch_size" if job.is_training else "", start)
        else:
            options.same(name, "runtime.device='auto' takes the GPU")


def _read_precision(job: Import) -> None:
    """Read what the step computes in; where a file says nothing, float32 as there."""
    options, draft = job.options, job.draft
    bf16 = options.first("amp_bf16", "bfloat16")
    is_bf16 = bool(options.take(bf16, False))
    amp = None
    if options.take("use_amp", False):
        network = options.peek("network_g")
        kind = str(network.get("type", "")) if isinstance(network, dict) else ""
        is_wide = kind.lower() in job.project.without_fp16
        amp = "bf16" if is_bf16 or is_wide else "fp16"
        if is_wide and not is_bf16:
            options.different("use_amp", "runtime.amp", f"'bf16', as there: fp16 is too narrow for {kind}")
        else:
            options.mapped("use_amp", "runtime.amp", repr(amp))
        if bf16 in options:
            options.mapped(bf16, "runtime.amp", repr(amp))
    else:
        options.same("use_amp", "runtime.amp=None")
        options.same(bf16, "without use_amp it means nothing")
    draft.set("runtime.amp", amp)
    if "use_channels_last" in options:
        value = bool(options.take("use_channels_last")) and amp is not None
        draft.set("runtime.channels_last", value)
        options.mapped("use_channels_last", "runtime.channels_last", f"{value}" + ("" if amp else " (with AMP only)"))
    compiled = options.first("use_compile", "compile")
    if compiled in options:
        value = bool(options.take(compiled))
        draft.set("runtime.compile", value)
        options.mapped(compiled, "runtime.compile", f"{value}")
    options.same("compile_mode", "the compiler's default mode")
    if options.take("fast_matmul", False):
        options.lost("fast_matmul", "matrix products stay exact in float32; runtime.amp is what makes them fast")
    options.same("fast_matmul", "as it is here")
    options.same("detect_anomaly", "a step that is not finite is left out and told (docs/reliability.md)")


RESUMING = (
    "ignore_resume_networks", "pretrain_network_g_ema", "pretrain_network_g_path", "ignore_resume_network"
)  # fmt: skip


def read_paths(job: Import) -> str | None:
    """Read `path`; returns the weights that an evaluation would load."""
    path = job.options.section("path")
    weights = path.first("pretrain_network_g", "pretrain_model_g")
    strict = path.first("strict_load_g", "strict_load")
    file = path.take(weights)
    if file is not None and job.is_training:
        job.draft.set("load_from", str(file))
        path.mapped(weights, "load_from", repr(file))
    elif file is not None:
        path.different(
            weights, "model.generator", f"the weights are named on the command line: tools/test.py CONFIG {file}"
        )
    _read_loading(path, strict, job.is_training and file is not None)
    _read_start_of_discriminator(job, path)
    for name in ("param_key_d", "strict_load_d"):
        path.same(name, "belongs to pretrain_network_d")
    if path.take("resume_state") is not None:
        why = "a training state of another project cannot be gone on with; load_from takes the weights alone"
        path.lost("resume_state", f"{why}, and optimizer, schedule and iteration begin anew")
    for name in RESUMING:
        path.same(name, "there is no state to resume from")
    for name in FOLDERS:
        path.same(name, "all of a run lies in its work dir")
    path.close(f"{job.project.name}'s path")
    return None if file is None else str(file)


def _read_start_of_discriminator(job: Import, path: Options) -> None:
    name = path.first("pretrain_network_d", "pretrain_model_d")
    file, start = path.take(name), job.draft.get("load_from")
    if file is None:
        return
    counterpart = None
    if job.draft.get("model.discriminator"):
        counterpart = job.project.discriminators.get(str(job.options.section("network_d").peek("type")).lower())
    if counterpart is None or counterpart.standing_in:
        path.lost(name, "no discriminator here is the file's")
        return
    job.draft.set("load_from", {**({"generator": start} if start else {}), "discriminator": str(file)})
    path.mapped(name, "load_from", f"{str(file)!r}, for the discriminator")


def _read_loading(path: Options, strict: str, has_file: bool) -> None:
    key = path.take("param_key_g")
    if key is not None and has_file:
        if str(key) == "params_ema":
            path.same("param_key_g", "averaged weights go first here, too")
        else:
            path.different("param_key_g", "load_from", "of a file with averaged weights (params_ema) those are taken")
    else:
        path.same("param_key_g", "there is no file to load")
    if path.take(strict) and has_file:
        path.different(strict, "load_from", "what does not fit by name and shape is told in the log, not refused")
    path.same(strict, "what fits is loaded, the log lists the rest")


def read_logger(job: Import) -> None:
    """Read `logger`: log, checkpoints, TensorBoard, Weights & Biases."""
    logger, draft = job.options.section("logger"), job.draft
    if not job.is_training:
        for name in logger:
            logger.same(name, "an evaluation writes no log")
        return
    for name, target in (
        ("print_freq", "hooks.logger.interval"),
        ("save_checkpoint_freq", "hooks.checkpoint.interval"),
    ):
        if name in logger:
            draft.set(target, logger.number(name, int, 0))
            logger.mapped(name, target, f"{draft.get(target):,}")
    if "save_checkpoint_freq" in logger:
        kept = "the last three checkpoints are kept; keep_last=None keeps all, as there"
        logger.different("save_checkpoint_freq", "hooks.checkpoint", kept)
    if logger.take("use_tb_logger", True):
        logger.same("use_tb_logger", "hooks.logger writes TensorBoard's files")
    else:
        draft.set("hooks.logger.tensorboard", False)
        logger.mapped("use_tb_logger", "hooks.logger.tensorboard", "False")
    _read_wandb(job, logger)
    logger.same("save_checkpoint_format", "checkpoints are .pth; tools/convert_checkpoint.py writes .safetensors")
    logger.same("save_tb_img", "the log has images of the evaluation")
    logger.close(f"{job.project.name}'s logger")


def _read_wandb(job: Import, logger: Options) -> None:
    wandb = logger.section("wandb")
    project = wandb.take("project")
    if project is not None:
        job.draft.set("hooks.logger.wandb", {"project": str(project)})
        job.draft.set("hooks.logger.tensorboard", True)
        wandb.mapped("project", "hooks.logger.wandb", f"dict(project={str(project)!r})")
    if wandb.take("resume_id") is not None:
        wandb.lost("resume_id", "a run there cannot be gone on with; it begins a new one")
    wandb.close("wandb")


def scale_of(options: Options) -> int:
    """Read the upscaling factor."""
    scale = options.number("scale", int, 0)
    if "scale" not in options:
        raise options.fault("scale", "the file does not say the upscaling factor")
    if not 1 <= scale <= 64:
        raise options.fault("scale", f"an upscaling factor from 1 to 64 is wanted, got {scale}")
    options.mapped("scale", "scale", f"{scale}")
    return scale
