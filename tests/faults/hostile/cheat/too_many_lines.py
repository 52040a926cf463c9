# lines wrong
for i in range(1000): print(i)
