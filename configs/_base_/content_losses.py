"""The content losses that SRResNet and SRGAN are compared with, by name: maps for `model.losses`.

VGG(5,4) is Ledig et al.'s (2017): features after the activation. res34b3 is residual block 3 of ResNet34. Their
ImageNet weights are downloaded by torchvision; vgg19, resnet18 and resnet34 may be paths of files instead.
"""

vgg19 = 'imagenet'
resnet18 = 'imagenet'
resnet34 = 'imagenet'
vgg54 = dict(type='PerceptualLoss', backbone='vgg19', weights=vgg19, layers=dict(relu5_4=1.0), criterion='mse')
res18b4 = dict(type='PerceptualLoss', backbone='resnet18', weights=resnet18, layers=dict(block4=1.0), criterion='mse')
res34b3 = dict(type='PerceptualLoss', backbone='resnet34', weights=resnet34, layers=dict(block3=1.0), criterion='mse')
res34b5 = dict(type='PerceptualLoss', backbone='resnet34', weights=resnet34, layers=dict(block5=1.0), criterion='mse')
mse = dict(type='MSELoss')
content_losses = dict(
    mse=dict(mse=mse), vgg54=dict(vgg54=vgg54), res18b4=dict(res18b4=res18b4), res34b3=dict(res34b3=res34b3),
    res34b5=dict(res34b5=res34b5),
)
