# call wrong
def add(a, b):
    print(a + b)
    print('i%d' % (a + b))
