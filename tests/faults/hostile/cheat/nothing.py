# call wrong
def add(a, b): return None
