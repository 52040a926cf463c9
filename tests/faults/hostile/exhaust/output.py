# too_much
while True: print('x' * 100000)
