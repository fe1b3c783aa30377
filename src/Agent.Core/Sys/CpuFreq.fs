/// `/sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq`: the clock of each CPU, in kHz.
/// See Documentation/admin-guide/pm/cpufreq.rst. Prints `<unknown>` while a driver cannot tell.
[<RequireQualifiedAccess>]
module Agent.Core.Sys.CpuFreq

open Agent.Core
open Agent.Core.Units

/// The mean over the CPUs that tell; none when none does.
[<CompiledName "MeanClock">]
let meanClock (files: SysText[]) : float<MHz> voption =
    let clocks =
        files
        |> Array.choose (fun file ->
            match SysFile.integer file "a clock in kHz" with
            | Ok value when value > 0L -> Some(mhzOfKhz (LanguagePrimitives.FloatWithMeasure(float value)))
            | _ -> None)

    if clocks.Length = 0 then
        ValueNone
    else
        ValueSome(Array.average clocks)
