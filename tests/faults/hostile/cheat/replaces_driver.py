# call wrong crash
open('/tmp/main.py', 'w').write('print("i3")\n')
open('/tmp/answer.py', 'w').write('def add(a, b): return 3\n')
import os, sys
def add(a, b): os.execv(sys.executable, [sys.executable, '/tmp/main.py'])
