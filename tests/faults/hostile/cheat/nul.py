# input wrong
import os
os.write(1, b'3\0\n')
