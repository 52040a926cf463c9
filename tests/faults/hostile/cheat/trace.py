# call wrong crash
import sys
def tracer(frame, event, arg):
    frame.f_locals['line'] = 'i3'
    return tracer
sys.settrace(tracer)
def add(a, b): return 0
