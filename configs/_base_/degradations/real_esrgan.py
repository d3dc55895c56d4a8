"""Real-ESRGAN's degradations, as published: twice blur, resize, noise and JPEG, and a sinc filter that comes at last.

Wang et al. 2021 (arXiv:2107.10833); values of the official option files. `steps` is for a DegradationPipeline.
"""

kinds = dict(
    iso=0.45, aniso=0.25, generalized_iso=0.12, generalized_aniso=0.03, plateau_iso=0.12, plateau_aniso=0.03,
)
blur = dict(type='Blur', kinds=kinds, kernel_size=(7, 21), sinc=0.1, beta_generalized=(0.5, 4), beta_plateau=(1, 2))
jpeg = dict(type='DiffJPEG', quality=(30, 95))
steps = dict(
    blur=dict(sigma=(0.2, 3), **blur),
    resize=dict(type='Resize', up=(1, 1.5), down=(0.15, 1), probabilities=(0.2, 0.7, 0.1)),
    noise=dict(type='OneOf', weights=(0.5, 0.5), transforms=dict(
        gaussian=dict(type='GaussianNoise', sigma=(1, 30), gray=0.4),
        poisson=dict(type='PoissonNoise', scale=(0.05, 3), gray=0.4),
    )),
    jpeg=jpeg,
    second_blur=dict(type='RandomApply', p=0.8, transforms=dict(blur=dict(sigma=(0.2, 1.5), **blur))),
    second_resize=dict(type='Resize', up=(1, 1.2), down=(0.3, 1), probabilities=(0.3, 0.4, 0.3), to='lq'),
    second_noise=dict(type='OneOf', weights=(0.5, 0.5), transforms=dict(
        gaussian=dict(type='GaussianNoise', sigma=(1, 25), gray=0.4),
        poisson=dict(type='PoissonNoise', scale=(0.05, 2.5), gray=0.4),
    )),
    last=dict(type='Shuffle', transforms=dict(
        to_lq=dict(type='Sequence', transforms=dict(
            resize=dict(type='Resize', to='lq'), sinc=dict(type='SincFilter', kernel_size=(7, 21), p=0.8),
        )),
        jpeg=jpeg,
    )),
)
