using Agent.Core;
using Agent.Core.Sys;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>Reads the fans that only the management controller sees, by one start of ipmitool.</summary>
internal sealed class IpmiProcess(AgentClock clock)
{
    /// <summary>A management controller answers slowly; one that does not answer at all is not waited for.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(3);

    private readonly ChildProcess program = new(Ipmi.Source, Limit, clock);

    /// <summary>The fans; absent when ipmitool is not installed.</summary>
    public FSharpResult<Hwmon.Fan[], SourceError> Read() =>
        from output in program.Run(Ipmi.FanArguments)
        from fans in Interpret(output)
        select fans;

    private static FSharpResult<Hwmon.Fan[], SourceError> Interpret(ProgramOutput output) =>
        output.ExitCode == 0
            ? Ipmi.Parse(output.Output).SelectError(SourceError.NewGarbled)
            : FSharpResult<Hwmon.Fan[], SourceError>.NewError(
                SourceError.NewUnreadable(Ipmi.Source, $"exit code {output.ExitCode}"));
}
