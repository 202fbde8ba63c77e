# Filled by what the folder holds.
