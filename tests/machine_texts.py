"""What systems say of their memory and power: a Mac of 16 GB under pressure, a Linux of 16 GB."""

from __future__ import annotations

PAGE = 16_384
VM_STAT = """\
Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               31250.
Pages active:                            251904.
Pages inactive:                          248320.
Pages speculative:                         1792.
Pages throttled:                              0.
Pages wired down:                        214016.
Pages purgeable:                           4096.
"Translation faults":                 812345678.
Pages copy-on-write:                   23456789.
Pages zero filled:                    345678901.
Pages reactivated:                      4567890.
Pages purged:                           1234567.
File-backed pages:                       180224.
Anonymous pages:                         321792.
Pages stored in compressor:              512000.
Pages occupied by compressor:            229376.
Decompressions:                        34567890.
Compressions:                          45678901.
Pageins:                                5678901.
Pageouts:                                 67890.
Swapins:                                 123456.
Swapouts:                                234567.
"""
PLUGGED = """\
Now drawing from 'AC Power'
 -InternalBattery-0 (id=5570659)\t80%; AC attached; not charging present: true
"""
CHARGED = PLUGGED.replace("80%; AC attached; not charging", "100%; charged; 0:00 remaining")
BATTERY = """\
Now drawing from 'Battery Power'
 -InternalBattery-0 (id=5570659)\t7%; discharging; (no estimate) present: true
"""
MEMINFO = """\
MemTotal:       16000000 kB
MemFree:         1000000 kB
MemAvailable:    9000000 kB
Active(anon):    2000000 kB
HugePages_Total:       0
"""
VMSTAT = "pswpin 77\npswpout 1234\npgfault 9\n"
