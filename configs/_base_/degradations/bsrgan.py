"""BSRGAN's degradations: blurs, resizes, noise and JPEG in random order, and a JPEG at last, by the real codec.

Zhang et al. 2021 (arXiv:2103.14006), without the noise of a camera's processing, for which they train a network.
How it differs from their code: ../../bsrgan/README.md. `steps` is for a DegradationPipeline.

They depend on the scale, which comes with the data.
"""

_base_ = ['../datasets/df2k_ost.py']
scale = 4
down = dict(type='Resize', modes=('bilinear', 'bicubic', 'area'), probabilities=(0, 1, 0), spacing='size', clip=True)
jpeg = dict(type='JPEGCompression', quality=(30, 95))
blurs = {
    factor: dict(type='OneOf', transforms=dict(
        iso=dict(type='Blur', kinds=dict(iso=1), kernel_size=(7, 25), sigma=(0, 2 + 0.2 * factor), sinc=0),
        aniso=dict(type='Blur', kinds=dict(aniso=1), kernel_size=(7, 25), variance=(0, 4 + factor), sinc=0),
    ))
    for factor in (2, scale)
}
shuffled = {
    factor: dict(type='Shuffle', ordered=['resize', 'to_lq'], transforms=dict(
        blur=blurs[factor],
        second_blur=blurs[factor],
        resize=dict(type='OneOf', weights=(0.75, 0.25), transforms=dict(
            scaled=dict(down=(0.5 / factor, 1), evenly='divisor', **down),
            filtered=dict(type='GaussianDownsampling', scale=factor),
        )),
        to_lq=dict(type='Resize', to='lq', modes=down['modes'], clip=True),
        noise=dict(type='OneOf', weights=(0.8, 0.2), transforms=dict(
            alone=dict(type='GaussianNoise', sigma=(2, 25), gray=0.5),
            mixed=dict(type='GaussianNoise', sigma=(25, 25), mixed=1),
        )),
        jpeg=dict(type='RandomApply', p=0.9, transforms=dict(jpeg=jpeg)),
    ))
    for factor in (2, scale)
}
halved = dict(down, down=(0.5, 0.5), modes=['matlab', 'matlab', 'matlab', *down['modes']])
steps = dict(
    shuffled=dict(type='OneOf', weights=(0.75, 0.25) if scale == 4 else (1, 0), transforms=dict(
        direct=shuffled[scale],
        halved=dict(type='Sequence', transforms=dict(half=halved, shuffled=shuffled[2])),
    )),
    jpeg=jpeg,
)
