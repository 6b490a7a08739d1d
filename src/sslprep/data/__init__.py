"""Image and label files of COCO, VOC, ImageNet and Places."""
