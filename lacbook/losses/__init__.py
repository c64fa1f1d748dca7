"""The losses, a file each: TCN, TCC, LAV, GTA, CARL's SCL, and LAC."""
