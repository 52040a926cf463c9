# lines wrong
print(1)
