# call wrong
def add(a, b): return 3
