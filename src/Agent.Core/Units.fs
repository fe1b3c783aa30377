/// Units of measure and every conversion between them. Counters are unsigned 64-bit, as the kernel keeps them; a
/// conversion that would overflow gives the largest value instead of wrapping.
module Agent.Core.Units

open System

/// Bytes.
[<Measure>]
type B

/// Kibibytes; what /proc/meminfo calls "kB".
[<Measure>]
type KiB

/// Mebibytes; the unit of nvidia-smi's memory columns.
[<Measure>]
type MiB

/// Disk sectors of 512 bytes, whatever the device's own block size (Documentation/admin-guide/iostats.rst).
[<Measure>]
type sector

/// Clock ticks of 1/USER_HZ second, the unit of /proc/stat.
[<Measure>]
type tick

/// Seconds.
[<Measure>]
type s

/// Milliseconds.
[<Measure>]
type ms

/// Microseconds.
[<Measure>]
type us

/// Nanoseconds, the unit of the scheduler's counters.
[<Measure>]
type ns

/// Pages of memory, whose size the kernel reports.
[<Measure>]
type page

/// Megabits, the unit of an interface's speed.
[<Measure>]
type Mbit

/// Millidegrees Celsius, the unit of hwmon and of thermal zones.
[<Measure>]
type mdegC

/// Degrees Celsius.
[<Measure>]
type degC

/// Kilohertz, the unit of cpufreq.
[<Measure>]
type kHz

/// Megahertz.
[<Measure>]
type MHz

/// Milliwatts, the unit of NVML.
[<Measure>]
type mW

/// Watts.
[<Measure>]
type W

/// Millijoules, the unit of NVML's energy counter.
[<Measure>]
type mJ

/// Joules.
[<Measure>]
type J

/// Hundredths of a whole.
[<Measure>]
type percent

/// Revolutions per minute.
[<Measure>]
type rpm

let internal timesSaturating (factor: uint64) (value: uint64) =
    if value > UInt64.MaxValue / factor then
        UInt64.MaxValue
    else
        value * factor

/// The sum, or the largest value where it would overflow.
[<CompiledName "AddSaturating">]
let addSaturating (one: uint64<'u>) (other: uint64<'u>) : uint64<'u> =
    let largest = LanguagePrimitives.UInt64WithMeasure<'u> UInt64.MaxValue
    if one > largest - other then largest else one + other

/// Kibibytes as bytes.
[<CompiledName "BytesOfKib">]
let bytesOfKib (value: uint64<KiB>) : uint64<B> =
    timesSaturating 1024UL (uint64 value) |> LanguagePrimitives.UInt64WithMeasure

/// Kibibytes per second, the unit of NVML's PCIe throughput, as bytes per second.
[<CompiledName "BytesPerSecondOfKib">]
let bytesPerSecondOfKib (value: uint32<KiB / s>) : float<B / s> =
    LanguagePrimitives.FloatWithMeasure(float value * 1024.0)

/// Mebibytes as bytes.
[<CompiledName "BytesOfMib">]
let bytesOfMib (value: uint64<MiB>) : uint64<B> =
    timesSaturating (1024UL * 1024UL) (uint64 value)
    |> LanguagePrimitives.UInt64WithMeasure

/// Sectors as bytes: 512 each.
[<CompiledName "BytesOfSectors">]
let bytesOfSectors (value: uint64<sector>) : uint64<B> =
    timesSaturating 512UL (uint64 value) |> LanguagePrimitives.UInt64WithMeasure

/// InfiniBand data counters count words of four octets (IBTA specification 16.1.3.5, PortXmitData).
[<CompiledName "BytesOfInfinibandWords">]
let bytesOfInfinibandWords (value: uint64) : uint64<B> =
    timesSaturating 4UL value |> LanguagePrimitives.UInt64WithMeasure

/// Bytes as mebibytes.
[<CompiledName "MibOfBytes">]
let mibOfBytes (value: uint64<B>) : float<MiB> =
    LanguagePrimitives.FloatWithMeasure(float value / (1024.0 * 1024.0))

/// A rate in bytes per second as mebibytes per second.
[<CompiledName "MibPerSecond">]
let mibPerSecond (value: float<B / s>) : float<MiB / s> =
    LanguagePrimitives.FloatWithMeasure(float value / (1024.0 * 1024.0))

/// Kilohertz as megahertz.
[<CompiledName "MhzOfKhz">]
let mhzOfKhz (value: float<kHz>) : float<MHz> =
    LanguagePrimitives.FloatWithMeasure(float value / 1000.0)

/// Millidegrees as degrees Celsius.
[<CompiledName "DegreesOfMilli">]
let degreesOfMilli (value: int64<mdegC>) : float<degC> =
    LanguagePrimitives.FloatWithMeasure(float value / 1000.0)

/// Milliwatts as watts.
[<CompiledName "WattsOfMilli">]
let wattsOfMilli (value: uint32<mW>) : float<W> =
    LanguagePrimitives.FloatWithMeasure(float value / 1000.0)

/// Millijoules as joules.
[<CompiledName "JoulesOfMilli">]
let joulesOfMilli (value: uint64<mJ>) : float<J> =
    LanguagePrimitives.FloatWithMeasure(float value / 1000.0)

/// Seconds as milliseconds.
[<CompiledName "MillisecondsOfSeconds">]
let millisecondsOfSeconds (value: float<s>) : float<ms> =
    LanguagePrimitives.FloatWithMeasure(float value * 1000.0)

/// `part` of `whole` as a percentage within 0-100; 0 of nothing is 0.
[<CompiledName "PercentOf">]
let percentOf (part: float<'u>) (whole: float<'u>) : float<percent> =
    if whole > 0.0<_> then
        LanguagePrimitives.FloatWithMeasure(Math.Clamp(part / whole * 100.0, 0.0, 100.0))
    else
        0.0<percent>

/// One decimal, half to even: the precision at which percentages leave the agent.
[<CompiledName "RoundToTenth">]
let roundToTenth (value: float<'u>) : float<'u> =
    LanguagePrimitives.FloatWithMeasure(Math.Round(float value, 1))

/// A kernel counter as the ingest API stores it: never above 2^63-1.
[<CompiledName "WireInteger">]
let wireInteger (value: uint64<'u>) : int64 =
    int64 (min (uint64 value) (uint64 Int64.MaxValue))

/// Clock ticks as seconds. USER_HZ, the unit that /proc speaks in, is 100 on every architecture that .NET runs on.
[<CompiledName "SecondsOfTicks">]
let secondsOfTicks (value: uint64<tick>) : float<s> =
    LanguagePrimitives.FloatWithMeasure(float value / 100.0)

/// Milliseconds as seconds.
[<CompiledName "SecondsOfMilliseconds">]
let secondsOfMilliseconds (value: uint64<ms>) : float<s> =
    LanguagePrimitives.FloatWithMeasure(float value / 1000.0)

/// Microseconds as seconds.
[<CompiledName "SecondsOfMicroseconds">]
let secondsOfMicroseconds (value: uint64<us>) : float<s> =
    LanguagePrimitives.FloatWithMeasure(float value / 1e6)

/// Nanoseconds as microseconds, rounded down.
[<CompiledName "MicrosecondsOfNanoseconds">]
let microsecondsOfNanoseconds (value: uint64<ns>) : uint64<us> =
    LanguagePrimitives.UInt64WithMeasure(uint64 value / 1000UL)

/// Megabits per second, of 1,000,000 bits, as bytes per second.
[<CompiledName "BytesPerSecondOfMegabits">]
let bytesPerSecondOfMegabits (value: float<Mbit / s>) : float<B / s> =
    LanguagePrimitives.FloatWithMeasure(float value * 125000.0)

/// An instant as seconds since 1970-01-01 UTC.
[<CompiledName "SecondsSinceEpoch">]
let secondsSinceEpoch (instant: DateTimeOffset) : float<s> =
    LanguagePrimitives.FloatWithMeasure((instant - DateTimeOffset.UnixEpoch).TotalSeconds)

/// An instant as nanoseconds since 1970-01-01 UTC; 0 for what is earlier.
[<CompiledName "NanosecondsSinceEpoch">]
let nanosecondsSinceEpoch (instant: DateTimeOffset) : uint64<ns> =
    uint64 (max 0L (instant - DateTimeOffset.UnixEpoch).Ticks)
    |> timesSaturating (uint64 TimeSpan.NanosecondsPerTick)
    |> LanguagePrimitives.UInt64WithMeasure

/// Megahertz as hertz.
[<CompiledName "HertzOfMhz">]
let hertzOfMhz (value: float<MHz>) : float = float value * 1e6

/// Hundredths as a ratio of 1.
[<CompiledName "RatioOfPercent">]
let ratioOfPercent (value: float<percent>) : float = float value / 100.0
