ema_half_life = 10.
batch_size = 4
ema_nimg = ema_half_life * 1000
ema_beta = 0.5 ** (batch_size * 8 / max(ema_nimg, 1e-8))
ema_config = dict(interval=1, momentum=1. - ema_beta, start_iter=0)
d_reg_interval = 16
g_reg_interval = 4
g_reg_ratio = g_reg_interval / (g_reg_interval + 1)
d_reg_ratio = d_reg_interval / (d_reg_interval + 1)
lr = 25e-4
optim_wrapper = dict(
    generator=dict(optimizer=dict(type='Adam', lr=lr * g_reg_ratio, betas=(0, 0.99 ** g_reg_ratio))),
    discriminator=dict(optimizer=dict(type='Adam', lr=lr * d_reg_ratio, betas=(0, 0.99 ** d_reg_ratio))))
bin_digits = "100000000"
log_size = len(bin_digits) - 1
resolutions = [2 ** n for n in range(2, log_size + 1)]
iters = {str(2 ** n): 600_000 // 2 ** (n - 2) for n in range(2, 6)}
total = sum(iters.values())
bits = 1 << 4 | 3
masked = ~bits & 0xFF ^ 0b11
rest = -7 // 2, -7 % 3, divmod(17, 5), abs(-2.5), round(2.675, 2), round(1234.5), 7 / 2
big = 10 ** 20
infinite = float('inf')
smallest, largest = min(resolutions), max(3, 9, 4)
