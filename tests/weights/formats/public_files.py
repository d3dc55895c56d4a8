"""Public files of weights, by their names in the folder SRTOOLBOX_WEIGHTS names."""

FSRCNN = "yjn870_FSRCNN-pytorch__fsrcnn_x2.pth"
VDSR = "twtygqyy_pytorch-vdsr__model_epoch_50.state_dict.pth"
IMDN = "Zheng222_IMDN__IMDN_x4.pth"
SRGAN = "leftthomas_SRGAN__netG_epoch_4_100.pth"
SAFMNPP = "sunny2109_SAFMN__light_safmnpp.pth"
COMPACT = "xinntao_Real-ESRGAN__realesr-animevideov3-x4.converted.pth"
