/// `/sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq`: the clock of each CPU, in kHz.
/// See Documentation/admin-guide/pm/cpufreq.rst. Prints `<unknown>` while a driver cannot tell.
[<RequireQualifiedAccess>]
module Agent.Core.Sys.CpuFreq

open Agent.Core
open Agent.Core.Proc
open Agent.Core.Units

let private clock (file: SysText) = SysFile.integer file "a clock in kHz"

/// What drivers print while they cannot tell.
let private isUnknown (file: SysText) =
    match SysFile.line file with
    | Ok "<unknown>" -> true
    | _ -> false

/// The mean over the CPUs that tell; none when none does. 0, and what no processor can do, is no clock.
[<CompiledName "MeanClock">]
let meanClock (files: SysText[]) : float<MHz> voption =
    let clocks =
        files
        |> Array.choose (fun file ->
            match clock file with
            | Ok value ->
                CpuInfo.clockOf (mhzOfKhz (LanguagePrimitives.FloatWithMeasure(float value)))
                |> ValueOption.toOption
            | Error _ -> None)

    if clocks.Length = 0 then
        ValueNone
    else
        ValueSome(Array.average clocks)

/// What is wrong with the first file that was read and holds no number; empty for none. A CPU that cannot tell at the
/// moment, in words or by an error of the read, is no fault.
[<CompiledName "Faults">]
let faults (files: SysText[]) : SourceError[] =
    SysFile.garbled clock (files |> Array.filter (isUnknown >> not))
