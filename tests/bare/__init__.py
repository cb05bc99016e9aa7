"""The first hour of a user, in minimal Debian systems made by debootstrap."""
