/// Every limit that a verdict is decided by. "Prototype" stands for sixty lines that read states, schedstat, GPU share and power, diskstats
/// and net/dev beside trainers whose limit was known: docs/verdict.md has their figures.
[<RequireQualifiedAccess>]
module internal Agent.Core.Causes.Limits

open Agent.Core.Units

// ---- Time -----------------------------------------------------------------------------------------------------------

/// What a verdict looks back on. State letters are sampled once or twice a second, so that 30 s and 8 workers are 100 to 500 looks; half of it
/// was enough for the prototype.
let window = 30.0<s>

/// Looks that are kept at most. At one each half second a window has 60; of more, every other one goes.
let mostLooks = 64

/// What must have been seen before anything is said.
let start = 10.0<s>

/// How long another label must be decided before it is shown.
let change = 10.0<s>

/// How long, when what is decided differs from what is shown but is not one label either.
let unsettled = 30.0<s>

/// A label that changed stays at least as long.
let steady = 60.0<s>

/// A young job that has not used its GPUs yet is starting for at most as long: a verdict should be right within 45 s, and a change takes 10.
let warmUp = 30.0<s>

/// Utilisation from which on a young job has begun to use its GPUs: creating a context shows as 1 or 2 % for a moment.
let begun = 5.0<percent>

/// A job is young when it began at most so long before it was seen.
let young = 120.0<s>

/// Pinned utilisation, no CPU time and no bytes for as long are a hang. Well above what compiling a graph or writing a checkpoint takes without
/// any of the three; collectives of PyTorch give up only after ten minutes.
let hang = 120.0<s>

/// A job that was at work for as long, without a rest, computes in a loop: when it falls silent it has stopped.
let worked = 60.0<s>

/// No utilisation and no CPU time for as long: held and idle.
let idle = 300.0<s>

/// An event (XID, uncorrected memory error) is a fault for as long after it was last seen. What a reset would mend is then seen again,
/// or the job that suffered has ended.
let eventStays = 600.0<s>

/// Faults that are remembered, and GPUs of a job: more than a machine has.
let mostFaults = 64

// ---- Bounds of what can be true -------------------------------------------------------------------------------------

/// No rate, time or clock of a machine is larger; what is, is not a value.
let largest = 1e18

/// The weight of a look of unknown length.
let shortest = 0.001<s>

/// The longest that one look counts for.
let longest = 3600.0<s>

// ---- GPUs -----------------------------------------------------------------------------------------------------------

/// From here on a GPU is saturated: less than a sixth more could be won by feeding it better.
let saturated = 85.0<percent>

/// The share of the time that a GPU must wait before what it waits for matters: removing it all gives 1.25 times the speed, about the
/// gain (1.3) from which on the lab calls a limit clear.
let waits = 20.0<percent>

/// A busy GPU below this share of its power limit does not compute. Prototype: 20 % while it communicated; an idle H100 draws 10 %.
let lowPower = 35.0<percent>

/// The same where bytes go from GPU to GPU meanwhile: halfway between the 20 to 25 % of waiting in a collective and the 70 % and more of
/// computing, so that about half of the time or more goes into the collectives.
let lowPowerMoving = 45.0<percent>

/// From here on power says that it computes.
let highPower = 50.0<percent>

/// The same by GPM's SM activity: collectives occupy up to 24 of 132 multiprocessors, 18 %.
let lowSm = 25.0<percent>

/// The same where bytes go from GPU to GPU meanwhile, as for power.
let lowSmMoving = 40.0<percent>

/// From here on SM activity says that it computes.
let highSm = 50.0<percent>

/// Kernels that are bound by device memory keep few multiprocessors busy: this much of the bandwidth is computing as well.
let highDram = 40.0<percent>

/// Share of the time that a reason to slow down must hold, and of violation time.
let throttled = 30.0<percent>

/// A power cap is how a board keeps to its limit at full load; it matters when the clock is below this share of its maximum.
let cappedClock = 80.0<percent>

/// A clock below this share of its maximum under load needs no reason.
let slowClock = 65.0<percent>

/// The load from which on a clock says something: an idle GPU clocks down.
let clockLoad = 80.0<percent>

/// Points of utilisation between a job's GPUs that mean imbalance. Ranks in step are within a few points of each other.
let spread = 25.0<percent>

/// The busiest of them must at least be as busy, or all of them only wait.
let spreadBusiest = 50.0<percent>

/// Points of power share between GPUs that are all busy.
let powerSpread = 30.0<percent>

/// Others of a job whose figures lie as close together are one group beside an outlier.
let group = 15.0<percent>

/// Bytes over NVLink or PCIe that show that something moves.
let movingBus = 100e6<B / s>

/// Bytes each way over the network that show collectives.
let movingNetwork = 10e6<B / s>

// ---- CPUs -----------------------------------------------------------------------------------------------------------

/// The occupation from which on a stage is the limit. Prototype: one loader 100, loaders on all CPUs 99, main thread and GPU together 99.
let stage = 85.0<percent>

/// What the strongest limit must explain of the time, else it is unknown.
let explains = 50.0<percent>

/// A thread that is as busy has no time to wait.
let busyThread = 90.0<percent>

/// Share of its running time that a thread waits for a CPU: removing a quarter gives 1.33 times the speed.
let cpuWait = 25.0<percent>

/// Share of the periods of a quota that were throttled.
let cpuThrottled = 20.0<percent>

/// Use of an allowance that is all of it, but for what scheduling leaves over.
let allowanceUsed = 90.0<percent>

/// A job that is throttled in some periods and uses less of its allowance on the whole is not held by it.
let allowanceTouched = 60.0<percent>

/// Cores that an allowance must be below the machine's to be a limit of its own.
let allowanceBelow = 0.5

/// Share of the time that any task of the machine waits for a CPU, where threads cannot be asked.
let hostCpuStall = 50.0<percent>

/// All CPUs together from which on none is left.
let hostCpuFull = 90.0<percent>

/// Share of the machine's CPUs that others use before they are named.
let othersUse = 25.0<percent>

/// From this part of its stage's time on a limit is alone there, and down to the second figure it is one of two.
let alone, half = 0.8, 0.5

/// A second label is told from this share of the first one's strength on.
let close = 0.65

/// What the GPU's own share is worth beside a cause of the same size: a user can do more about the cause.
let ownShare = 0.9

// ---- Storage --------------------------------------------------------------------------------------------------------

/// Looks in uninterruptible sleep that mean waiting for storage. Prototype: loaders that read 97 of 100, nothing else above 5.
let blocked = 20.0<percent>

/// The same of a main thread that writes. Prototype: 17 of 100 while checkpoints took two fifths of the time.
let blockedWriting = 8.0<percent>

/// A core copies as much a second into the page cache: the CPU time of a main thread that writes is part of the writing.
let copyRate = 1.5e9<B / s>

/// What writing in bursts weighs beyond the looks that saw it. Prototype: main in D 17 of 100 looks, GPU 60, and writing was the limit.
let burst = 1.4

/// Share of the time that a disk has work; alone it proves nothing, as flash serves many requests at once.
let diskBusy = 80.0<percent>

/// Requests that wait at a disk, mean.
let diskQueue = 2.0

/// Mean time of a request: above what flash needs, and about what a disk with heads needs.
let diskLatency = 5.0<ms>

/// Bytes a second that are more than logs and metrics.
let diskBytes = 10e6<B / s>

/// Share of the time in which tasks stalled for I/O, by PSI.
let ioStall = 20.0<percent>

/// The same of the CPUs' time, where there is no PSI.
let iowait = 15.0<percent>

/// Operations that wait at a mount of network storage, for each thread that reads, when no thread can be asked.
let mountOutstanding = 0.5

/// Mean time of an operation on network storage: a server on the same network answers from memory in less than 1 ms, from flash in 2.
let mountSlow = 5.0<ms>

/// A client that keeps operations back so many times longer than the server takes needs more connections.
let mountBacklog = 2.0

// ---- Network --------------------------------------------------------------------------------------------------------

/// A link this full is a limit: frames and headers take a few per cent, and its speed is the raw one.
let linkFull = 85.0<percent>

/// Bytes a second that feed a job. Prototype: 20 MB/s while the GPU was at 19 %; a quiet server has some kB/s.
let trickle = 1e6<B / s>

/// Loaders this busy are not asleep.
let asleep = 60.0<percent>

// ---- Memory ---------------------------------------------------------------------------------------------------------

/// Bytes a second of files that a job whose memory is full reads again after they were evicted: what it works on does not fit.
let refaults = 10e6<B / s>

/// Share of the time in which tasks stalled for memory, by PSI.
let memoryStall = 10.0<percent>

/// Bytes that come back from swap.
let swapIn = 1e6<B / s>

/// The same where PSI cannot be asked.
let swapInAlone = 10e6<B / s>

/// Major faults a second. Files that are mapped fault as well, so they count only beside a stall, swapping or a limit.
let majorFaults = 100.0< / s>

/// Use of a memory limit that is all of it.
let memoryFull = 95.0<percent>

/// Memory that is available, below which swapping is no accident.
let memoryAvailable = 10.0<percent>

// ---- Standing still -------------------------------------------------------------------------------------------------

/// Utilisation that counts as none: drivers occasionally report 1 %.
let gpuStill = 1.0<percent>

/// Utilisation that is pinned.
let gpuPinned = 98.0<percent>

/// Cores. A notebook that waits for its user takes a hundredth, with its timers.
let cpuStill = 0.05

/// Bytes a second: heartbeats and logs.
let bytesStill = 64e3<B / s>

// ---- A machine without GPU jobs -------------------------------------------------------------------------------------

/// All CPUs together: their work is the limit.
let hostBusy = 85.0<percent>

/// One CPU of several: one thread is the limit.
let hostOneCpu = 90.0<percent>

/// Cores in use that are one thread, wherever the scheduler puts it: no more than these, and no less than `hostOneCpu` of one.
let hostOneThread = 1.5

/// All CPUs together, below which nothing runs.
let hostIdle = 10.0<percent>

/// Share of the time taken by the hypervisor.
let steal = 10.0<percent>

// ---- Confidence -----------------------------------------------------------------------------------------------------

/// What no verdict exceeds unless two witnesses agree.
let lonely = 0.7

/// The pull from which on a witness agrees.
let agrees = 0.5

/// What no verdict exceeds.
let surest = 0.95

/// The highest confidence of a verdict that rests on the machine's figures alone.
let anonymous = 0.65
