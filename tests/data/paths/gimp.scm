(let* ((image (car (gimp-image-new 96 64 RGB)))
       (layer (car (gimp-layer-new image 96 64 RGB-IMAGE "fill" 100 LAYER-MODE-NORMAL)))
       (vectors (car (gimp-vectors-new image "Cut out"))))
  (gimp-image-insert-layer image layer 0 0)
  (gimp-context-set-foreground '(200 40 30))
  (gimp-context-set-background '(30 90 200))
  (gimp-drawable-edit-gradient-fill layer GRADIENT-LINEAR 0 FALSE 1 0 TRUE 0 0 96 64)
  (gimp-image-insert-vectors image vectors 0 0)
  ; A shape with a hole, the hole drawn against it, and a second shape apart.
  (gimp-vectors-bezier-stroke-new-ellipse vectors 34.25 31.5 28.5 24.75 0)
  (gimp-vectors-bezier-stroke-new-ellipse vectors 30.5 30.25 11.25 9.5 0.4)
  (gimp-vectors-stroke-new-from-points vectors 0 24 (list->vector (list 
     68 10  68 10  68 10
     90 4   90.5 20.25 91 34
     80 60  74.5 52.75 66 47
     72 30  66 24  60 18)) TRUE)
  (file-tiff-save RUN-NONINTERACTIVE image layer "gimp.tif" "gimp.tif" 1)
  ; What GIMP itself selects by this path.
  (gimp-context-set-antialias TRUE)
  (gimp-context-set-feather FALSE)
  (gimp-image-select-item image CHANNEL-OP-REPLACE vectors)
  (let* ((channel (car (gimp-selection-save image)))
         (gray (car (gimp-image-new 96 64 GRAY)))
         (copy (car (gimp-layer-new-from-drawable channel gray))))
    (gimp-image-insert-layer gray copy 0 0)
    (gimp-item-set-visible copy TRUE)
    (gimp-image-flatten gray)
    (let ((flat (car (gimp-image-get-active-drawable gray))))
      (file-png-save RUN-NONINTERACTIVE gray flat "gimp-selection.png" "gimp-selection.png" 0 9 0 0 0 0 0))))
(gimp-quit 0)
