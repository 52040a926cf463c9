# call crash
import sys
sys.exit(0)
