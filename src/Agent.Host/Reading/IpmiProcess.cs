using Agent.Core;
using Agent.Sender;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>Reads the fans that only the management controller sees, by one start of ipmitool.</summary>
internal sealed class IpmiProcess(AgentClock clock)
{
    /// <summary>A management controller answers slowly; one that does not answer at all is not waited for.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(3);

    private readonly ChildProcess program = new(Ipmi.Source, Limit, clock);

    /// <summary>What ipmitool told; absent when it is not installed.</summary>
    public FSharpResult<Ipmi.Answer, SourceError> Read() =>
        from output in program.Run(Ipmi.FanArguments)
        select Ipmi.Interpret(output.ExitCode, output.Output, output.Errors);
}
