using System.Runtime.InteropServices;
using Agent.Core;
using Agent.Sender;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>Reads the fans that only the management controller sees, by one start of ipmitool.</summary>
/// <param name="clock">The monotonic clock.</param>
/// <param name="deviceFiles">Through which ipmitool talks to the controller; those of <see cref="Ipmi"/> unless told otherwise.</param>
internal sealed partial class IpmiProcess(AgentClock clock, string[]? deviceFiles = null)
{
    /// <summary>What to do where ipmitool may not open its device: it is a sentence's second half.</summary>
    public const string Permission =
        "give it to a group by a udev rule and the agent to that group (in its systemd unit SupplementaryGroups= and DeviceAllow=/dev/ipmi0 rw)";

    /// <summary>R_OK and W_OK of access(2).</summary>
    private const int ReadAndWrite = 4 | 2;

    private const int NotPermitted = 1;
    private const int Denied = 13;

    /// <summary>A management controller answers slowly; one that does not answer at all is not waited for.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(3);

    private readonly ChildProcess program = new(Ipmi.Source, Limit, clock);

    /// <summary>What ipmitool told; absent when it is not installed.</summary>
    public FSharpResult<Ipmi.Answer, SourceError> Read() =>
        from output in program.Run(Ipmi.FanArguments)
        select Ipmi.Interpret(output.ExitCode, Array.Exists(deviceFiles ?? Ipmi.DeviceFiles, IsDenied), output.Output, output.Errors);

    /// <summary>True where a file is there and this process may not open it: by its mode, or by the devices that its cgroup allows.</summary>
    public static bool IsDenied(string path) =>
        Access(path, ReadAndWrite) != 0 && Marshal.GetLastPInvokeError() is NotPermitted or Denied;

    [LibraryImport("libc", EntryPoint = "access", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Access(string path, int mode);
}
