"""Rehearsal room: the colours of the storyboard: ink, paper, tones, and non-photo blue."""

Color = tuple[int, int, int]

PAPER: Color = (244, 241, 233)
WHITE: Color = (252, 251, 248)
SHADE: Color = (196, 196, 198)
TONE: Color = (150, 151, 156)
DUSK: Color = (74, 78, 92)
CLOTH: Color = (214, 214, 216)
SLEEVE: Color = (170, 171, 176)
TROUSERS: Color = (92, 96, 110)
TROUSERS_FAR: Color = (66, 69, 82)
INK: Color = (26, 27, 32)
GREY: Color = (110, 110, 114)
BLUE: Color = (70, 150, 206)
