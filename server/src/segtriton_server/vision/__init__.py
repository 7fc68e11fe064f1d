"""What turns a picture into a segmented picture: networks and compositors.

Only this package imports OpenCV and LiteRT. It knows pictures, masks and effects; it must not know
packets, codecs, sessions or Triton.
"""

import cv2

# The pipeline runs several pictures at once, one thread each. Threads inside each OpenCV call would only
# fight them: on two cores, calls of 0.05 to 0.3 ms gain nothing from a second thread and pay for waking it.
cv2.setNumThreads(1)
